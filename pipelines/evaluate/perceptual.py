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
"""As many frames are compared, evenly spread; half as many at 512 px, where one takes most of a second."""
DEFINITIONS = {
    "lpips": (
        f"LPIPS 0.1 of the whole frame, pixels outside the source frame made equal, of at most {LOOKED_AT} frames evenly "
        "spread; 0 is equal, lower is better"
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
    rows = [frame_distances(tool.call, {name: images[row] for name, images in sequences.items()}, truth, row, device)
            for row in looked_at(len(truth.image), truth.image.shape[1])]  # fmt: skip
    found = {name: float(np.mean([row[name] for row in rows])) for name in sequences}
    return {**found, "network": tool.name, "frames": len(rows), "weights_sha256": list(tool.sha256)}


def looked_at(count: int, size: int) -> np.ndarray:
    """Rows that are compared, evenly spread: LOOKED_AT of 256 px or less, fewer of larger ones, but 12."""
    most = int(np.clip(LOOKED_AT * (256 / size) ** 2, LOOKED_AT // 2, LOOKED_AT))
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def frame_distances(
    network: "LPIPS", renders: dict[str, np.ndarray], truth: Pictures, row: int, device: str
) -> dict[str, float]:
    """Of each render [S,S,3] of one frame, replaced by the truth outside the source frame."""
    import torch

    def values(image: np.ndarray) -> list[torch.Tensor]:
        return network.values(
            torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None].to(device) * 2 - 1
        )

    inside = truth.inside[row][..., None]
    with torch.inference_mode():
        filmed = values(truth.image[row])
        return {
            name: float(network.distance(values(np.where(inside, render, truth.image[row])), filmed))
            for name, render in renders.items()
        }


def commands(names: list[str]) -> str:
    """How to get weights, for the end of a sentence."""
    return " and ".join(f"avatarcli prior fetch {name}" for name in names) + (" get them" if len(names) > 1 else " gets it")


def hashes(*paths: Path) -> tuple[str, ...]:
    return tuple(sha256_file(path) for path in paths)
