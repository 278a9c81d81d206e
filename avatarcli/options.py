"""The options that several commands share, and how their texts are read: times, sizes, devices, presets."""

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


MORE = "More options"
"""The second panel of a help page, after the options that most people need."""
Out = Annotated[Path, typer.Option("--out", "-o", help="Path of the result.", show_default=False)]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a result made from other inputs or settings.", rich_help_panel=MORE)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.", rich_help_panel=MORE),
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE.toml", help="Read settings from a file.", rich_help_panel=MORE)
]
OnDevice = Annotated[
    Device, typer.Option("--device", help="Where to compute; auto uses a GPU if there is one.", rich_help_panel=MORE)
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="quick (minutes on a laptop), workstation or paper (both need a GPU).", show_default="quick"),
]
DEFAULT_PRESET = "quick"
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="TIME", help="Time limit, such as 90s, 10m or 1h30m; of all stages for `run`.")
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Memory limit of a training step, such as 12g or 800m (GPU memory on a GPU)."
    ),
]
Consent = Annotated[
    str | None,
    typer.Option(
        "--consent",
        metavar="TEXT|FILE",
        rich_help_panel=MORE,
        help="Consent of the person filmed: 'NAME: statement', a text or .toml file, or a spoken clip.",
    ),
]
EVERYWHERE = "Any command: --json prints one JSON object · --quiet prints only results and errors · --debug shows tracebacks"


def seconds(text: str | None) -> float | None:
    """`90s`, `10m`, `1h30m` in seconds; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    total = sum(float(part or 0) * unit for part, unit in zip(found.groups(), (3600, 60, 1), strict=True)) if found else 0.0
    if total <= 0:
        raise SettingError(f"--budget {text} is not a time; write 90s, 10m or 1h30m.")
    return total


def gigabytes(text: str | None) -> float | None:
    """`12g`, `1.5gb`, `800m` in gigabytes of 10^9 bytes; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([gm])(?:i?b)?", text.strip().lower())
    total = float(found[1]) * {"g": 1.0, "m": 1e-3}[found[2]] if found else 0.0
    if total <= 0:
        raise SettingError(f"--memory {text} is not a size; write 12g or 800m.")
    return total


def assignments_of(**flags: Any) -> list[str]:
    """`key=value` of each flag that is not None; `__` in a name stands for a dot."""
    return [f"{name.replace('__', '.')}={value}" for name, value in flags.items() if value is not None]


def pick_device(device: Device) -> str:
    """`cuda` or `cpu`; MissingTool when a GPU is asked for and PyTorch sees none."""
    if device is Device.cpu:
        return "cpu"
    import torch

    seen = torch.cuda.is_available()
    if device is Device.cuda and not seen:
        raise MissingTool("--device cuda: PyTorch finds no CUDA GPU; run `avatarcli doctor` to see why, or use --device cpu.")
    return "cuda" if seen else "cpu"


def preset(presets: dict[str, Any], name: str) -> Any:
    """The settings of a preset name; SettingError lists the names there are."""
    if name not in presets:
        raise SettingError(f"--preset {name} does not exist; choose one of {', '.join(presets)}.")
    return presets[name]
