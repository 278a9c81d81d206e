"""LPIPS and ST-LPIPS of renders, where their weights are on this machine.

Nothing is fetched here. Files are those of the weights registry, in the weights folder or where torchvision and the packages
`lpips` and `stlpips-pytorch` keep them (which are not imported), and are used only with the sha256 that the registry names.
Without them a measure is None and says why; it is never 0.
"""

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
ST_LPIPS = "st-lpips-alex"
IN_PACKAGES = {
    "lpips-alex": ("lpips", "weights/v0.1/alex.pth"), "lpips-vgg": ("lpips", "weights/v0.1/vgg.pth"),
    ST_LPIPS: ("stlpips_pytorch", "weights/vST0.0/alex_shift_tolerant.pth"),
}  # fmt: skip
"""Packages that hold a file of the registry, and where."""
LOOKED_AT = 24
"""As many frames are compared, evenly spread: at 512 px one takes more than a second."""
DEFINITIONS = {
    "lpips": (
        f"LPIPS 0.1 of the whole frame, pixels outside the source frame made equal, of {LOOKED_AT} frames evenly spread; 0 is "
        "equal, lower is better"
    ),
    "st_lpips": "ST-LPIPS, which a shift of a pixel hardly moves, in the same way; its numbers are not LPIPS's",
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


def st_lpips_tool(device: str = "cpu") -> Tool:
    """ST-LPIPS on AlexNet, of the package stlpips-pytorch or the weights folder."""
    from models.training.st_lpips import st_lpips

    try:
        path = find_metric_file(ST_LPIPS)
    except MissingTool as error:
        return Tool(name="st_lpips", why=str(error))
    if path is None:
        return Tool(name="st_lpips", why="its weights are not installed; pip install stlpips-pytorch brings them.")
    return Tool(name=ST_LPIPS, call=loaded(st_lpips, ST_LPIPS, path).to(device), sha256=hashes(path))


def find_metric_file(name: str) -> Path | None:
    """The checked file of a registry entry: in the weights folder, torchvision's cache, or a package if that is installed."""
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
    """The file inside a package, which is not imported: it would want torchvision."""
    package, place = IN_PACKAGES.get(name, ("", ""))
    spec = find_spec(package) if package else None
    return [Path(root) / place for root in (spec.submodule_search_locations if spec else None) or ()]


def load_lpips(network: "Network", trunk: Path, linear: Path) -> "LPIPS":
    """The metric from its two files, read as tensors alone; MissingTool when they are not what they should be."""
    from models.training.lpips import lpips

    return loaded(partial(lpips, network), f"LPIPS of {network}", trunk, linear)


def loaded(build: "Callable[..., LPIPS]", name: str, *paths: Path) -> "LPIPS":
    """What `build` makes of the states in the files; MissingTool when they are not what they should be."""
    import torch

    try:
        return build(*(torch.load(path, map_location="cpu", weights_only=True) for path in paths))
    except (RuntimeError, ValueError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        files, do = " and ".join(map(str, paths)), "does" if len(paths) == 1 else "do"
        raise MissingTool(f"{files} {do} not make {name} ({said}); get {'it' if do == 'does' else 'them'} again.") from error


def perceptual(tool: Tool, sequences: dict[str, np.ndarray], truth: Pictures, device: str = "cpu") -> dict[str, Any]:
    """Mean LPIPS of each sequence of renders [N,S,S,3]; all None with `why` where there is no network."""
    if tool.call is None:
        return {**dict.fromkeys(sequences), "why": tool.why}
    found = {name: float(np.mean(lpips_rows(tool.call, images, truth, device))) for name, images in sequences.items()}
    return {**found, "network": tool.name, "weights_sha256": list(tool.sha256)}


def lpips_rows(network: "LPIPS", renders: np.ndarray, truth: Pictures, device: str) -> list[float]:
    """LPIPS of at most LOOKED_AT frames, the render replaced by the truth outside the source frame."""
    import torch

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None].to(device) * 2 - 1

    rows = []
    chosen = np.unique(np.linspace(0, len(renders) - 1, min(LOOKED_AT, len(renders))).round().astype(int))
    with torch.no_grad():
        for render, image, inside in zip(renders[chosen], truth.image[chosen], truth.inside[chosen], strict=True):
            rows.append(float(network(tensor(np.where(inside[..., None], render, image)), tensor(image))))
    return rows


def commands(names: list[str]) -> str:
    """How to get weights, for the end of a sentence."""
    return " and ".join(f"avatarcli prior fetch {name}" for name in names) + (" get them" if len(names) > 1 else " gets it")


def hashes(*paths: Path) -> tuple[str, ...]:
    return tuple(sha256_file(path) for path in paths)
