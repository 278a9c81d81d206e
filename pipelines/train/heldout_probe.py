"""How a training does on held-out frames while it runs, before there is an expression map.

A ridge regression from the capture's tracked expressions to the fitted latents predicts the latents of a few held-out frames;
their renders are scored. It only watches: nothing of it enters the model.
"""

from pathlib import Path

import numpy as np
import torch

from models.heads.expression_map import broadcast
from pipelines.artifacts.dataset import Dataset, camera_of
from pipelines.avatar.portrait import over_gray
from pipelines.core.files import write_image
from pipelines.engine.tensorboard_log import EventLog
from pipelines.evaluate import pictures, score
from pipelines.media.pixels import to_bytes
from pipelines.train.settings import FinetuneSettings
from pipelines.train.steps import sampling
from pipelines.train.trainer import Trainer, averaged_generator


class Probe:
    """Callable on a Trainer -> psnr_full, psnr_head of `count` held-out frames in dB.

    With a folder, a sheet stays there of every time: above the frames, below their renders.
    """

    def __init__(
        self, dataset: Dataset, expression: np.ndarray, size: int, settings: FinetuneSettings, count: int = 6,
        folder: Path | None = None, events: EventLog | None = None,
    ):  # fmt: skip
        self.folder, self.events = folder, events
        test = dataset.rows("test")
        self.rows = test[np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int)]
        chosen = np.isin(test, self.rows)
        truth = pictures(dataset, "test", size)
        self.truth = type(truth)(image=truth.image[chosen], matte=truth.matte[chosen], inside=truth.inside[chosen])
        self.camera = camera_of(dataset, self.rows)
        self.train, self.test = _standardized(expression[dataset.rows("train")], expression[self.rows])
        self.settings = settings

    def __call__(self, trainer: Trainer) -> dict[str, float]:
        generator = averaged_generator(trainer)
        latents = trainer.average["latents"]["w"][: len(self.train)]
        device = latents.device
        w = torch.from_numpy(ridge(self.train, latents.cpu().numpy(), self.test)).float().to(device)
        ws, how = broadcast(w, generator.latent.num_ws), sampling(self.settings, None)
        renders = np.concatenate(
            [over_gray(generator, ws[[row]], self.camera[[row]].to(device), how) for row in range(len(ws))]
        )
        self.show(trainer.step, renders)
        figures = score(renders, self.truth)
        return {"heldout_psnr_full": figures["psnr_full"], "heldout_psnr_head": figures["psnr_head"]}

    def show(self, step: int, renders: np.ndarray) -> None:
        """The sheet `step_000100.png` of renders [N,S,S,3] in 0..1."""
        pairs = zip(self.truth.image, renders, strict=True)
        sheet = np.concatenate([np.concatenate([above, below]) for above, below in pairs], axis=1)
        sheet = to_bytes(sheet)
        if self.folder:
            write_image(self.folder / f"step_{step:06d}.png", sheet)
        if self.events:
            self.events.sheet(step, sheet)


def ridge(inputs: np.ndarray, targets: np.ndarray, queries: np.ndarray, strength: float = 3.0) -> np.ndarray:
    """Predictions [Q,D] of the ridge regression inputs [N,E] -> targets [N,D], with an intercept that is not shrunk."""
    mean_in, mean_out = inputs.mean(0), targets.mean(0)
    x = inputs - mean_in
    weights = np.linalg.solve(x.T @ x + strength * np.eye(x.shape[1]), x.T @ (targets - mean_out))
    return (queries - mean_in) @ weights + mean_out


def _standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, std = train.mean(0), np.maximum(train.std(0), 0.02)
    return (train - mean) / std, (test - mean) / std
