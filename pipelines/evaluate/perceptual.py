"""LPIPS of renders, where its weights are on this machine.

Nothing is fetched here. Files are those of the weights registry, in the weights folder or where torchvision and the `lpips`
package keep them, and are used only with the sha256 that the registry names. Without them a measure is None and says why; it is
never 0.
"""

import os
import pickle
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.assets.store import KNOWN, find_weight
from pipelines.core.errors import MissingTool
from pipelines.core.files import sha256_file
from pipelines.evaluate.protocol import Pictures

if TYPE_CHECKING:
    from models.training.lpips import LPIPS, Network

FILES: "dict[Network, tuple[str, str]]" = {"alex": ("alexnet", "lpips-alex"), "vgg": ("vgg16", "lpips-vgg")}
"""Registry names of the classifier and of the linear layers on it."""
DEFINITIONS = {"lpips": "LPIPS 0.1 of the whole frame, pixels outside the source frame made equal; 0 is equal, lower is better"}


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
    for network, names in FILES.items():
        try:
            files = [find_metric_file(name) for name in names]
        except MissingTool as error:
            return Tool(name="lpips", why=str(error))
        if None not in files:
            trunk, linear = (path for path in files if path is not None)
            return Tool(name=network, call=load_lpips(network, trunk, linear).to(device), sha256=hashes(trunk, linear))
        missing += [name for name, path in zip(names, files, strict=True) if path is None and network == "alex"]
    return Tool(name="lpips", why=f"its weights are not installed; {commands(missing)}.")


def find_metric_file(name: str) -> Path | None:
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

    import torch

    from models.training.lpips import lpips

    try:
        states = [torch.load(path, map_location="cpu", weights_only=True) for path in (trunk, linear)]
        return lpips(network, *states)
    except (RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingTool(f"{trunk} and {linear} do not make LPIPS of {network} ({said}); get them again.") from error


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


def commands(names: list[str]) -> str:
    """How to get weights, for the end of a sentence."""
    return " and ".join(f"avatarcli prior fetch {name}" for name in names) + (" get them" if len(names) > 1 else " gets it")


def hashes(*paths: Path) -> tuple[str, ...]:
    return tuple(sha256_file(path) for path in paths)
