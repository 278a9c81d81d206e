"""How good the samples of a generator are: distances between sets of features, sample sheets, a walk through its latents.

Notable choices:
- no feature network is shipped. Without one, features are those of fixed random convolutions, and the figure is named so: it
  falls while a training goes well and compares runs of one data set and size, but it is not the KID of papers;
- a network given by the user is an ONNX file: float32 RGB in [-1,1], [N,3,S,S] -> [N,D].
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera, orbit
from models.eg3d import EG3D
from models.stylegan2.resampling import resize
from pipelines.encoder import write_video
from pipelines.errors import UnusableMaterial
from pipelines.files import write_image
from pipelines.prior.images import LabeledImages
from pipelines.train.finetune import keyed

Features = Callable[[Tensor], np.ndarray]
"""Images [B,3,H,W] in [-1,1] -> features [B,D]."""
WIDTHS = (32, 64, 128, 256)


def random_features(images: Tensor) -> np.ndarray:
    """[B,960] means and deviations of four layers of 3x3 convolutions, stride 2, leaky ReLU, with weights of a fixed seed."""
    random, x, found = torch.Generator().manual_seed(20_240_501), images, []
    for width in WIDTHS:
        weight = torch.randn(width, x.shape[1], 3, 3, generator=random).to(x) * (2 / (9 * x.shape[1])) ** 0.5
        x = F.leaky_relu(F.conv2d(x, weight, stride=2, padding=1), 0.2)
        found += [x.mean((2, 3)), x.std((2, 3))]
    return torch.cat(found, dim=1).cpu().numpy()


def network_features(path: Path) -> Features:
    """Those of an ONNX network; UnusableMaterial when it is none or takes no images."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the library has no common class
        raise UnusableMaterial(f"{path} is no ONNX network ({type(error).__name__}); give one or none.") from error
    entry = session.get_inputs()[0]
    if len(entry.shape) != 4 or entry.shape[1] != 3:
        raise UnusableMaterial(f"{path} takes {entry.shape} and not images [N,3,S,S]; give a network that does.")
    side = entry.shape[2] if isinstance(entry.shape[2], int) else 299

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
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of means and covariances (arXiv 1706.08500). N(0,1) against N(3,1): 9."""
    from scipy.linalg import sqrtm

    first, second = np.atleast_2d(np.cov(ours, rowvar=False)), np.atleast_2d(np.cov(theirs, rowvar=False))
    root = np.real(sqrtm(first @ second))
    return float(np.square(ours.mean(0) - theirs.mean(0)).sum() + np.trace(first + second - 2 * root))


@torch.no_grad()
def distances(
    generator: EG3D, images: LabeledImages, count: int, features: Features | None, device: str, batch: int = 8
) -> dict[str, float]:
    """KID, and FID where a feature network is given, of `count` samples under the data's cameras against as many images."""
    random, of = keyed(0, 0, "quality"), features or random_features
    numbers = torch.randperm(len(images), generator=random)[:count].tolist()
    ours, theirs = [], []
    for first in range(0, len(numbers), batch):
        real, labels = images.batch(numbers[first : first + batch], generator.image_size)
        z = torch.randn(len(labels), generator.latent.z_dim, generator=random).to(device)
        ws = generator.mapping(z, labels.to(device))
        fake = generator.synthesis(ws, Camera.from_label(labels.to(device))).image.clamp(-1, 1)
        ours.append(of(fake))
        theirs.append(of(real.to(device)))
    both = np.concatenate(ours), np.concatenate(theirs)
    if features is None:
        return {"kid_random_features": kid(*both)}
    return {"kid": kid(*both), "fid": fid(*both)}


@torch.no_grad()
def sample_sheet(path: Path, generator: EG3D, label: Tensor, device: str, people: int = 6, angles: int = 5) -> None:
    """A row a latent, seen from -40 to 40 degrees; conditioned on the camera `label` [25]."""
    z = torch.randn(people, generator.latent.z_dim, generator=keyed(0, 0, "sheet")).to(device)
    ws = generator.mapping(z, label.to(device).expand(people, -1))
    turned = around(label, torch.linspace(-40, 40, angles)).to(device)
    rows = [generator.synthesis(w.expand(angles, -1, -1), Camera.from_label(turned)).image for w in ws]
    write_image(path, _pixels(torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)))


@torch.no_grad()
def latent_walk(path: Path, generator: EG3D, label: Tensor, device: str, people: int = 4, seconds: float = 2.0) -> None:
    """A video from one latent to the next and back to the first, seen from the front; 15 frames a second."""
    z = torch.randn(people, generator.latent.z_dim, generator=keyed(0, 0, "walk")).to(device)
    ws = generator.mapping(z, label.to(device).expand(people, -1))
    camera, steps = Camera.from_label(label.to(device)[None]), round(15 * seconds)

    def frames() -> Iterator[np.ndarray]:
        for number in range(people * steps):
            person, share = divmod(number, steps)
            w = ws[person].lerp(ws[(person + 1) % people], share / steps)
            yield _pixels(generator.synthesis(w[None], camera).image[0])

    write_video(path, frames(), 15.0)


def around(label: Tensor, degrees: Tensor) -> Tensor:
    """[N,25] cameras at the distance of `label` [25], turned about the vertical axis; 0 is in front."""
    distance = float(label[:16].view(4, 4)[:3, 3].norm())
    h = torch.pi / 2 + torch.deg2rad(degrees)
    poses = orbit(h, torch.pi / 2, distance)
    return torch.cat([poses.flatten(1), label[16:].expand(len(poses), -1)], dim=1)


def _pixels(image: Tensor) -> np.ndarray:
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
