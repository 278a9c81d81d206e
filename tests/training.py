"""What small trainings in tests use instead of face trackers, and ways to end one in the middle."""

from pathlib import Path

import numpy as np

from pipelines.core.stage import Silent
from pipelines.engine.distributed import Processes
from pipelines.face.expression import space_names
from pipelines.train.inputs import Tools, TrainInputs
from pipelines.train.recipe import open_inputs
from pipelines.train.settings import TrainSettings


class MouthLabeler:
    """Measures how red the lower middle of a render is: the solid has no face a tracker would find."""

    def __init__(self, space: str, canonical: np.ndarray):
        self.names = space_names(space)

    def __enter__(self) -> "MouthLabeler":
        return self

    def __exit__(self, *error: object) -> None: ...

    def __call__(self, image: np.ndarray) -> np.ndarray:
        expression = np.zeros(len(self.names), np.float32)
        middle = (
            image[3 * len(image) // 5 : 4 * len(image) // 5, 2 * len(image) // 5 : 3 * len(image) // 5].astype(np.float32) / 255
        )
        expression[self.names.index("jawOpen")] = (middle[..., 0] - middle[..., 1]).mean()
        return expression


class Killed(Exception):
    pass


class KilledAfter(Silent):
    """Progress that ends the run in the middle, after so many steps."""

    def __init__(self, steps: int):
        self.left = steps

    def task(self, name: str, total: int | None = None):
        return _Task(self)


class _Task(Silent):
    def __init__(self, owner: KilledAfter):
        self.owner = owner

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None: ...

    def advance(self, count: int = 1) -> None:
        self.owner.left -= count
        if self.owner.left < 0:
            raise Killed


TOOLS = Tools(labeler=MouthLabeler, cores=lambda: 1)


def inputs_of(capture: Path, folder: Path, settings: TrainSettings, tools: Tools = TOOLS) -> TrainInputs:
    """Of a training by this process alone, in a folder that is there."""
    folder.mkdir(exist_ok=True)
    return open_inputs(capture, folder, settings, Silent(), Processes(), tools)
