"""How good the samples of a generator are: distances between sets of features, sample sheets, a walk through its latents.

Notable choices:
- no feature network is shipped. Without one, features are those of fixed random convolutions, and the figure is named so: it
  falls while a training goes well and compares runs of one data set and size, but it is not the KID of papers;
- a network given by the user takes float32 RGB in [-1,1], [N,3,S,S] -> [N,D]. An ONNX file runs as it is; TorchScript, which is
  a program, runs only when the user has vouched for its sha256 (`avatarcli prior register`). One that asks for
  `return_features`, as the Inception of published FIDs does, gets whole numbers 0..255 and resizes them itself;
- KID is unbiased; FID falls with the number of samples, and papers take 50,000.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera, orbit
from models.generator import Control, Generator, rendered
from models.networks.stylegan2.resampling import resize
from pipelines.assets.store import vouched
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import write_image
from pipelines.engine.keyed_random import keyed
from pipelines.media.encoder import write_video
from pipelines.media.pixels import colors, to_bytes
from pipelines.prior.train.draws import Draw, normal_draw
from pipelines.prior.train.images import LabeledImages

Features = Callable[[Tensor], np.ndarray]
"""Images [B,3,H,W] in [-1,1] -> features [B,D]."""
Sample = Callable[[Any, Tensor, Tensor], Control]
"""Generator, latents [B,z_dim], cameras [B,25] -> what is shown."""
Point = tuple[float, float, float]
WIDTHS = (32, 64, 128, 256)
VOUCHED, SIDE = "feature-network", 299
"""The registry's name of a TorchScript network; pixels a side where a network does not say them."""


def random_features(images: Tensor) -> np.ndarray:
    """[B,960] means and deviations of four layers of 3x3 convolutions, stride 2, leaky ReLU, with weights of a fixed seed."""
    random, x, found = torch.Generator().manual_seed(20_240_501), images, []
    for width in WIDTHS:
        weight = torch.randn(width, x.shape[1], 3, 3, generator=random).to(x) * (2 / (9 * x.shape[1])) ** 0.5
        x = F.leaky_relu(F.conv2d(x, weight, stride=2, padding=1), 0.2)
        found += [x.mean((2, 3)), x.std((2, 3))]
    return torch.cat(found, dim=1).cpu().numpy()


def network_features(name: str) -> Features:
    """Those of an ONNX file, or of the registered TorchScript network by its name; an error says what does not fit."""
    if name == VOUCHED:
        return probed(script_features(vouched(VOUCHED)), VOUCHED)
    if not Path(name).is_file():
        raise SettingError(f"features={name}: there is no such file; give an ONNX network or {VOUCHED}.")
    if zipfile.is_zipfile(name):
        raise SettingError(f"features={name} is TorchScript, a program: register it as {VOUCHED} and give that name.")
    return probed(onnx_features(Path(name)), name)


def probed(features: Features, name: str) -> Features:
    """The same, once it has made [2,D] of two images; else UnusableMaterial, before a long training and not in it."""
    try:
        shape = features(torch.zeros(2, 3, 64, 64)).shape
    except Exception as error:  # noqa: BLE001 - whatever a foreign network raises
        raise UnusableMaterial(f"features={name}: the network takes no images [N,3,S,S] ({type(error).__name__}).") from error
    if len(shape) != 2 or shape[0] != 2:
        raise UnusableMaterial(f"features={name}: the network makes {list(shape)} for two images, not [2,D].")
    return features


def script_features(path: Path) -> Features:
    """Those of a TorchScript network; UnusableMaterial when it is none."""
    try:
        network = torch.jit.load(path, map_location="cpu").eval()
        asks = any(one.name == "return_features" for one in network.forward.schema.arguments)
    except (AttributeError, RuntimeError, ValueError) as error:
        raise UnusableMaterial(f"{path} is not a TorchScript network; give another one or none.") from error

    @torch.no_grad()
    def features(images: Tensor) -> np.ndarray:
        network.to(images.device)
        if asks:
            found = network(((images + 1) * 127.5).round().clamp(0, 255), return_features=True)
        else:
            found = network(resize(images, SIDE))
        return found.flatten(1).float().cpu().numpy()

    return features


def onnx_features(path: Path) -> Features:
    """Those of an ONNX network; UnusableMaterial when it is none or takes no images."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the library has no common class
        raise UnusableMaterial(f"{path} is not an ONNX network ({type(error).__name__}); give one or none.") from error
    entry = session.get_inputs()[0]
    if len(entry.shape) != 4 or entry.shape[1] != 3:
        raise UnusableMaterial(f"{path} takes {entry.shape} and not images [N,3,S,S]; give a network that does.")
    side = entry.shape[2] if isinstance(entry.shape[2], int) else SIDE

    def features(images: Tensor) -> np.ndarray:
        sized = resize(images, side).cpu().numpy().astype(np.float32)
        return np.asarray(session.run(None, {entry.name: sized})[0]).reshape(len(sized), -1)

    return features


def kid(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (arXiv 1801.01401); 0 for equal distributions.

    x = 0, 0 against y = 1, 1 in one dimension: 1 + 8 - 2 = 7.
    """

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ y.T.astype(np.float64) / x.shape[1] + 1) ** 3

    m, n = len(ours), len(theirs)
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(ours, ours), kernel(theirs, theirs))]
    return float(sum(within) - 2 * kernel(ours, theirs).sum() / (m * n))


def fid(ours: np.ndarray, theirs: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of means and covariances (arXiv 1706.08500). N(0,1) against N(3,1): 9.

    tr (C1 C2)^1/2 = tr (R C2 R)^1/2 with R = C1^1/2: symmetric, so fewer samples than features do no harm.
    """
    first, second = (np.atleast_2d(np.cov(one.astype(np.float64), rowvar=False)) for one in (ours, theirs))
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(np.square(ours.mean(0) - theirs.mean(0)).sum() + np.trace(first + second) - 2 * shared)


@torch.no_grad()
def distances(
    generator: Generator, images: LabeledImages, count: int, features: Features | None, device: str, batch: int = 8,
    control: Sample | None = None, draw: Draw | None = None,
) -> dict[str, float]:  # fmt: skip
    """KID, and FID where a feature network is given, of `count` samples under the data's cameras against as many images.

    `control` says what a latent under a camera shows, where it is more than the mapping's ws.
    """
    random, of = keyed(0, 0, "quality"), features or random_features
    numbers = torch.randperm(len(images), generator=random)[:count].tolist()
    ours, theirs = [], []
    for first in range(0, len(numbers), batch):
        real, labels = images.batch(numbers[first : first + batch], generator.image_size)
        z = (draw or normal_draw(generator.latent.z_dim))(len(labels), random).to(device)
        shown = (control or plain_control)(generator, z, labels.to(device))
        fake = rendered(generator, shown, Camera.from_label(labels.to(device))).image.clamp(-1, 1)
        ours.append(of(fake))
        theirs.append(of(real.to(device)))
    both = np.concatenate(ours), np.concatenate(theirs)
    if features is None:
        return {"kid_random_features": kid(*both)}
    return {"kid": kid(*both), "fid": fid(*both)}


def plain_control(generator: Generator, z: Tensor, labels: Tensor) -> Control:
    return Control(ws=generator.mapping(z, labels))


@torch.no_grad()
def sample_sheet(
    path: Path, generator: Generator, label: Tensor, device: str, people: int = 6, angles: int = 5, degrees: float = 40.0,
    target: Point = (0.0, 0.0, 0.0), draw: Draw | None = None,
) -> None:  # fmt: skip
    """A row a latent, seen from -degrees to degrees; conditioned on the camera `label` [25], looking at `target`."""
    z = (draw or normal_draw(generator.latent.z_dim))(people, keyed(0, 0, "sheet")).to(device)
    ws = generator.mapping(z, label.to(device).expand(people, -1))
    turned = around(label, torch.linspace(-degrees, degrees, angles), target).to(device)
    rows = [rendered(generator, Control(ws=w.expand(angles, -1, -1)), Camera.from_label(turned)).image for w in ws]
    write_image(path, to_bytes(np.concatenate([np.concatenate(list(colors(row)), axis=1) for row in rows])))


@torch.no_grad()
def latent_walk(
    path: Path,
    generator: Generator,
    label: Tensor,
    device: str,
    people: int = 4,
    seconds: float = 2.0,
    draw: Draw | None = None,
) -> None:
    """A video from one latent to the next and back to the first, seen from the front; 15 frames a second."""
    z = (draw or normal_draw(generator.latent.z_dim))(people, keyed(0, 0, "walk")).to(device)
    ws = generator.mapping(z, label.to(device).expand(people, -1))
    camera, steps = Camera.from_label(label.to(device)[None]), round(15 * seconds)

    def frames() -> Iterator[np.ndarray]:
        for number in range(people * steps):
            person, share = divmod(number, steps)
            w = ws[person].lerp(ws[(person + 1) % people], share / steps)
            yield to_bytes(colors(rendered(generator, Control(ws=w[None]), camera).image)[0])

    write_video(path, frames(), 15.0)


def around(label: Tensor, degrees: Tensor, target: Point = (0.0, 0.0, 0.0)) -> Tensor:
    """[N,25] cameras at the distance of `label` [25], turned about the vertical axis to look at `target`; 0 is in front."""
    distance = float(label[:16].view(4, 4)[:3, 3].norm())
    h = torch.pi / 2 + torch.deg2rad(degrees)
    poses = orbit(h, torch.pi / 2, distance, target)
    return torch.cat([poses.flatten(1), label[16:].expand(len(poses), -1)], dim=1)
