"""Event files for TensorBoard, where its package is there: losses, held-out figures and sample sheets as the training goes."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipelines.core.errors import MissingTool

EVENTS = "events"


def insist_on_tensorboard() -> None:
    """MissingTool when its package is not there."""
    if find_spec("tensorboard") is None:
        raise MissingTool(
            "tensorboard=true needs the package tensorboard: pip install 'avatarcli[tensorboard]', or leave the setting out "
            "(the same figures are in train_log.jsonl)."
        )


class EventLog:
    """Writes into `folder/events`; what an earlier run wrote beyond `step` is taken back."""

    def __init__(self, folder: Path, step: int):
        insist_on_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / EVENTS), purge_step=step + 1 if step else None)

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            group = "held out" if name.startswith("heldout_") else "training"
            self.writer.add_scalar(f"{group}/{name.removeprefix('heldout_')}", value, step)

    def sheet(self, step: int, image: np.ndarray) -> None:
        """uint8 [H,W,3]"""
        self.writer.add_image("samples", image, step, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()
