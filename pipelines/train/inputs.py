"""What every step of a training is given: the person's captures, the prior, the settings, and where the files go."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from models.camera import Camera
from models.families import Judge
from models.generator import Generator
from pipelines.artifacts.dataset import Dataset, near_frontal
from pipelines.artifacts.prior import Prior
from pipelines.capture.mattes.person import MatteSettings, matting
from pipelines.core.stage import Progress, warn_in_record
from pipelines.engine.distributed import Processes
from pipelines.evaluate.faces import Find, tracker
from pipelines.train.budget import cores
from pipelines.train.frames import Frames, load_frames
from pipelines.train.framing import Framing
from pipelines.train.networks import config_for
from pipelines.train.pairs import Label, Labeler
from pipelines.train.settings import TrainSettings

Networks = tuple[Generator, dict[str, Judge], str]
"""Generator, discriminators by name, and one sentence on where their weights come from."""


def find_person(image: np.ndarray) -> np.ndarray:
    """The person's alpha as mediapipe sees it."""
    return matting(MatteSettings(refine=False))(image)


ExpressionSpace = Literal["measured", "blendshapes"]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a training uses of the machine and of face trackers; tests bring their own."""

    labeler: Callable[[str, np.ndarray], AbstractContextManager[Label]] = Labeler
    """Expression space and the prior's landmarks [478,3] -> what measures expressions in renders."""
    tracker: Callable[[], AbstractContextManager[Find]] = tracker
    """Finds landmarks in frames."""
    find_person: Callable[[np.ndarray], np.ndarray] = find_person
    """uint8 [H,W,3] RGB -> float32 [H,W] the person's alpha in 0..1, roughly."""
    cores: Callable[[], int] = cores


@dataclass(frozen=True, kw_only=True)
class TrainInputs:
    """The same in every process, but for `processes` itself."""

    captures: tuple[Path, ...]
    """The person's own capture, then those that were added."""
    dataset: Dataset
    """Of all captures."""
    prior: Prior
    framing: Framing
    """The head frame that the dataset is cut for, and how whole heads are in it."""
    settings: TrainSettings
    folder: Path
    """Where every step leaves its files: the avatar to be."""
    networks: Callable[[], Networks]
    """Makes the networks as they are before the first step."""
    emphasis: Callable[[Tensor], Tensor] = lambda weights: weights
    """Changes how often each filmed frame is drawn, given and returned as weights [N]."""
    progress: Progress
    processes: Processes
    tools: Tools = field(default_factory=Tools)

    @property
    def device(self) -> str:
        return self.processes.device

    @cached_property
    def space(self) -> ExpressionSpace:
        """Of the expressions that the avatar will follow."""
        if self.settings.expression_space != "auto":
            return self.settings.expression_space
        return "blendshapes" if "expression_blendshapes" in self.dataset.tracking() else "measured"

    @cached_property
    def frames(self) -> Frames:
        """The training frames, on the device."""
        size = config_for(self.prior, self.settings).image_size
        return load_frames(
            self.dataset, "train", size, self.prior.landmarks, self.device, clean=self.settings.edges == "cleaned"
        )

    @cached_property
    def frontal(self) -> Camera:
        return near_frontal(self.dataset).to(self.device)

    def expression(self) -> np.ndarray:
        """[N,E] as tracked in all rows of the dataset."""
        return self.dataset.tracking()[f"expression_{self.space}"]

    def warn(self, text: str) -> None:
        """Tell the user, and keep it in the stage's record."""
        self.progress.warn(text)
        warn_in_record(self.folder, text)
