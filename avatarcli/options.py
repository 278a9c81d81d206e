"""The options that several commands share, and the two choices made here for all of them: device and budget."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.core.errors import MissingTool, SettingError


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Out = Annotated[Path, typer.Option("--out", "-o", help="Where the result goes.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a result made from other inputs or settings.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", metavar="FILE.toml", help="Settings from a file.")]
OnDevice = Annotated[Device, typer.Option("--device", help="Where to compute; auto takes a GPU if there is one.")]
Preset = Annotated[str, typer.Option("--preset", help="quick (a laptop, minutes), workstation or paper (a GPU).")]
Budget = Annotated[str | None, typer.Option("--budget", metavar="TIME", help="How long it may take: 90s, 10m, 1h30m.")]
Memory = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="What a training step may take: 12g, 800m; graphics memory on a GPU."),
]
Consent = Annotated[
    str | None,
    typer.Option("--consent", metavar="TEXT|FILE", help="Who agreed: 'NAME: statement', a text or .toml file, a spoken clip."),
]
EVERYWHERE = "Everywhere: --json one JSON object on stdout · --quiet only results and errors · --debug tracebacks"


def seconds(text: str | None) -> float | None:
    """`90s`, `10m`, `1h30m` in seconds; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    total = sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0.0
    if total <= 0:
        raise SettingError(f"--budget {text}: write a time such as 90s, 10m or 1h30m.")
    return total


def gigabytes(text: str | None) -> float | None:
    """`12g`, `1.5gb`, `800m` in gigabytes of 10^9 bytes; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([gm])(?:i?b)?", text.strip().lower())
    total = float(found[1]) * {"g": 1.0, "m": 1e-3}[found[2]] if found else 0.0
    if total <= 0:
        raise SettingError(f"--memory {text}: write a size such as 12g or 800m.")
    return total


def chosen(**flags: Any) -> list[str]:
    """`key=value` of the flags that were given; `__` in a name stands for a dot."""
    return [f"{name.replace('__', '.')}={value}" for name, value in flags.items() if value is not None]


def pick_device(device: Device) -> str:
    """`cuda` or `cpu`; MissingTool when a GPU is asked for and PyTorch sees none."""
    if device is Device.cpu:
        return "cpu"
    import torch

    seen = torch.cuda.is_available()
    if device is Device.cuda and not seen:
        raise MissingTool("--device cuda: PyTorch sees no CUDA GPU; `avatarcli doctor` says why, or use --device cpu.")
    return "cuda" if seen else "cpu"


def preset(presets: dict[str, Any], name: str) -> Any:
    """The settings of a preset name; SettingError lists the names there are."""
    if name not in presets:
        raise SettingError(f"--preset {name}: there are {', '.join(presets)}.")
    return presets[name]
