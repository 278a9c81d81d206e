"""Measures that need weights which do not come with the tool: LPIPS and the similarity of the face to a recognizer.

Nothing is fetched here. Files are those of the weights registry, in the weights folder or where torchvision and the `lpips`
package keep them, and are used only with the sha256 that the registry names. Without them a measure is None and says why; it is
never 0.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import MissingTool
from pipelines.evaluate.faces import Faces
from pipelines.evaluate.protocol import Pictures
from pipelines.files import sha256_file
from pipelines.weights import KNOWN, find_weight

if TYPE_CHECKING:
    from models.lpips import LPIPS, Network

LPIPS_FILES: "dict[Network, tuple[str, str]]" = {"alex": ("alexnet", "lpips-alex"), "vgg": ("vgg16", "lpips-vgg")}
"""Registry names of the classifier and of the linear layers on it."""
RECOGNIZER = "sface"
RECOGNIZED_SIDE = 112
ANCHORS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Where recognizers of faces (ArcFace, SFace) want the eyes, the tip of the nose and the corners of the mouth, in px of 112."""
MESH = ((33, 133), (362, 263), (4,), (61,), (291,))
"""The same places among the 478 points, each a mean of some."""
Embed = Callable[[np.ndarray], np.ndarray]
"""uint8 [112,112,3] RGB -> [D]"""

DEFINITIONS = {
    "lpips": "LPIPS 0.1 of the whole frame, pixels outside the source frame made equal; 0 is equal, lower is better",
    "identity": (
        "mean cosine of a face recognizer's descriptions of render and filmed frame (1 is the same picture of a face), where "
        "both were tracked; retrieval and oracle show what another filmed frame of the person gets"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Tool:
    """Something that measures, or why it is not there."""

    name: str
    call: Any = None
    why: str = ""
    sha256: tuple[str, ...] = ()


def lpips_tool(device: str = "cpu") -> Tool:
    """LPIPS on AlexNet, or on VGG-16 where only its files are there."""
    missing = []
    for network, names in LPIPS_FILES.items():
        try:
            files = [file_of(name) for name in names]
        except MissingTool as error:
            return Tool(name="lpips", why=str(error))
        if None not in files:
            trunk, linear = (path for path in files if path is not None)
            return Tool(name=network, call=load_lpips(network, trunk, linear).to(device), sha256=_hashes(trunk, linear))
        missing += [name for name, path in zip(names, files, strict=True) if path is None and network == "alex"]
    return Tool(name="lpips", why=f"its weights are not on this machine; {_commands(missing)}.")


def recognizer_tool() -> Tool:
    """The face recognizer of the registry."""
    try:
        path = find_weight(RECOGNIZER)
    except MissingTool as error:
        return Tool(name=RECOGNIZER, why=str(error))
    if path is None:
        return Tool(name=RECOGNIZER, why=f"no face recognizer is on this machine; {_commands([RECOGNIZER])}.")
    return Tool(name=RECOGNIZER, call=load_recognizer(path), sha256=_hashes(path))


def file_of(name: str) -> Path | None:
    """The checked file of a registry entry: in the weights folder, torchvision's cache, or the `lpips` package if installed."""
    found = find_weight(name)
    if found is not None:
        return found
    entry = KNOWN[name]
    for path in (_hub() / entry.file, *_in_package(name)):
        if path.is_file() and entry.sha256 == sha256_file(path):
            return path
    return None


def _hub() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def _in_package(name: str) -> list[Path]:
    """The linear layers inside the `lpips` package, which is not imported: it would want torchvision."""
    spec = find_spec("lpips") if name.startswith("lpips-") else None
    places = spec.submodule_search_locations if spec else None
    return [Path(place) / "weights" / "v0.1" / f"{name.removeprefix('lpips-')}.pth" for place in places or ()]


def load_lpips(network: "Network", trunk: Path, linear: Path) -> "LPIPS":
    """The metric from its two files, read as tensors alone; MissingTool when they are not what they should be."""
    import pickle

    import torch

    from models.lpips import lpips

    try:
        states = [torch.load(path, map_location="cpu", weights_only=True) for path in (trunk, linear)]
        return lpips(network, *states)
    except (RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingTool(f"{trunk} and {linear} do not make LPIPS of {network} ({said}); get them again.") from error


def load_recognizer(path: Path) -> Embed:
    """The ONNX network of a file: uint8 RGB 112x112 -> its description of the face."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone: older files make it warn of every weight
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's own classes of errors have no common base
        raise MissingTool(f"{path} cannot be read as an ONNX network ({type(error).__name__}); get it again.") from error
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    if shape[1:] != [3, RECOGNIZED_SIDE, RECOGNIZED_SIDE]:
        raise MissingTool(f"{path} wants pictures of {shape[1:]}, not [3, {RECOGNIZED_SIDE}, {RECOGNIZED_SIDE}].")

    def embed(image: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: image.transpose(2, 0, 1)[None].astype(np.float32)})[0], np.float64).ravel()

    return embed


def perceptual(tool: Tool, sequences: dict[str, np.ndarray], truth: Pictures, device: str = "cpu") -> dict[str, Any]:
    """Mean LPIPS of each sequence of renders [N,S,S,3]; all None with `why` where there is no network."""
    if tool.call is None:
        return {**dict.fromkeys(sequences), "why": tool.why}
    found = {name: float(np.mean(lpips_rows(tool.call, images, truth, device))) for name, images in sequences.items()}
    return {**found, "network": tool.name, "weights_sha256": list(tool.sha256)}


def lpips_rows(network: "LPIPS", renders: np.ndarray, truth: Pictures, device: str) -> list[float]:
    """LPIPS of each frame, the render replaced by the truth outside the source frame."""
    import torch

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None].to(device) * 2 - 1

    rows = []
    with torch.no_grad():
        for render, image, inside in zip(renders, truth.image, truth.inside, strict=True):
            rows.append(float(network(tensor(np.where(inside[..., None], render, image)), tensor(image))))
    return rows


def likeness(tool: Tool, sequences: dict[str, tuple[np.ndarray, Faces]], truth: tuple[np.ndarray, Faces]) -> dict[str, Any]:
    """Mean cosine between the faces of each sequence (images, faces) and the true ones; None with `why` without a network."""
    if tool.call is None:
        return {**dict.fromkeys(sequences), "why": tool.why}
    known = embeddings(tool.call, *truth)
    found = {name: similarity(embeddings(tool.call, *one), known) for name, one in sequences.items()}
    return {**found, "network": tool.name, "weights_sha256": list(tool.sha256)}


def embeddings(embed: Embed, images: np.ndarray, faces: Faces) -> list[np.ndarray | None]:
    """Descriptions of length 1 of the faces in images [N,S,S,3] of 0..1; None where none was found."""
    found: list[np.ndarray | None] = []
    for image, points, there in zip(images, faces.points, faces.found, strict=True):
        value = embed(upright((image * 255).round().astype(np.uint8), points)) if there else None
        found.append(None if value is None else value / max(float(np.linalg.norm(value)), 1e-12))
    return found


def similarity(ours: list[np.ndarray | None], theirs: list[np.ndarray | None]) -> float | None:
    """Mean cosine over the rows that both have; None without one."""
    cosines = [float(a @ b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return float(np.mean(cosines)) if cosines else None


def upright(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [112,112,3]: the face of landmarks [478,3] turned, shifted and scaled to lie on ANCHORS as well as it can."""
    import cv2

    seen = np.stack([points[list(group), :2].mean(0) for group in MESH])
    matrix = fitted(seen - 0.5, ANCHORS)
    return cv2.warpAffine(image, matrix, (RECOGNIZED_SIDE, RECOGNIZED_SIDE), flags=cv2.INTER_LINEAR)


def fitted(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[2,3] the turn, scale and shift of points [P,2] that come nearest to `target` [P,2] (Umeyama 1991), without mirroring.

    With complex numbers: target = a source + b, a = sum conj(s) t / sum |s|^2 of the centered ones.
    """
    s, t = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    a = (np.conj(s - s.mean()) * (t - t.mean())).sum() / (np.abs(s - s.mean()) ** 2).sum()
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _commands(names: list[str]) -> str:
    return " and ".join(f"avatarcli prior fetch {name}" for name in names) + (" get them" if len(names) > 1 else " gets it")


def _hashes(*paths: Path) -> tuple[str, ...]:
    return tuple(sha256_file(path) for path in paths)
