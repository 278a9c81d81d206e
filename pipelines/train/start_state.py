"""Where the steps of a training begin, as one record: `start.npz`, from which a run that was interrupted goes on too."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.camera import Camera
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import mismatch, read_arrays, write_arrays
from pipelines.train.open_mouth import OpenedMouths
from pipelines.train.remembered_views import Views

START = "start.npz"
PERSON = {"person": "float [W]", "latent_subspace": "float [K,W]"}
VIEWS = {"label": "float [V,25]", "raw": "float [V,3,R,R]", "alpha": "float [V,1,R,R]"}
OPENED = {"opened_of": "int [M]", "opened_image": "int [M,3,S,S]", "opened_alpha": "int [M,1,S,S]"}
LATENTS = {"latents": "float [F,W]"}
"""Arrays of the file; of each group all are there or none."""
OLDER_NAMES = {"room": "latent_subspace"}


@dataclass(frozen=True, kw_only=True)
class StartState:
    """What is not known is None: a prior that knows no people gives no person, a mouth that was filmed open is not drawn."""

    person: Tensor | None = None
    """[W] the person's latent among the prior's people."""
    latent_subspace: Tensor | None = None
    """[K,W] orthonormal directions in which the person's latents move."""
    views: Views | None = None
    """[V] sides that were not filmed, as the prior shows them."""
    opened: OpenedMouths | None = None
    """[M] frames repeated with the mouth drawn open."""
    latents: Tensor | None = None
    """[N+M,W] of all frames, where an avatar goes on learning."""

    @property
    def counts(self) -> dict[str, int]:
        """How much of each there is."""
        return {
            "people": int(self.person is not None),
            "views_to_remember": 0 if self.views is None else len(self.views.raw),
            "opened_frames": 0 if self.opened is None else len(self.opened.of),
            "known_latents": 0 if self.latents is None else len(self.latents),
        }

    def to(self, device: str) -> "StartState":
        views, opened = self.views, self.opened
        return StartState(
            person=_to(self.person, device), latent_subspace=_to(self.latent_subspace, device),
            views=views and Views(camera=views.camera.to(device), raw=views.raw.to(device), alpha=views.alpha.to(device)),
            opened=opened and opened.to(device), latents=_to(self.latents, device),
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """A state of which nothing is known leaves no file."""
        arrays: dict[str, Tensor | None] = {
            "person": self.person, "latent_subspace": self.latent_subspace, "latents": self.latents
        }  # fmt: skip
        if self.views is not None:
            arrays |= {"label": self.views.camera.label(), "raw": self.views.raw, "alpha": self.views.alpha}
        if self.opened is not None:
            arrays |= {"opened_of": self.opened.of, "opened_image": self.opened.image, "opened_alpha": self.opened.alpha}
        present = {name: value.cpu().numpy() for name, value in arrays.items() if value is not None}
        if present:
            write_arrays(folder / START, **present)

    @classmethod
    def load(cls, folder: Path) -> "StartState":
        """UnusableMaterial when the file is broken, or its arrays do not belong together."""
        path = folder / START
        if not path.exists():
            return cls()
        arrays = {OLDER_NAMES.get(name, name): value for name, value in read_arrays(path).items()}
        groups = [group for group in (PERSON, VIEWS, OPENED, LATENTS) if group.keys() & arrays.keys()]
        if problem := mismatch(arrays, {name: shape for group in groups for name, shape in group.items()}):
            raise UnusableMaterial(f"{path} {problem}; delete the folder {folder.name} and train again.")
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
        return cls(
            person=tensors.get("person"), latent_subspace=tensors.get("latent_subspace"), latents=tensors.get("latents"),
            views=_views(tensors) if VIEWS in groups else None, opened=_opened(tensors) if OPENED in groups else None,
        )  # fmt: skip


def _views(tensors: dict[str, Tensor]) -> Views:
    return Views(camera=Camera.from_label(tensors["label"]), raw=tensors["raw"], alpha=tensors["alpha"])


def _opened(tensors: dict[str, Tensor]) -> OpenedMouths:
    return OpenedMouths(of=tensors["opened_of"], image=tensors["opened_image"], alpha=tensors["opened_alpha"])


def _to(tensor: Tensor | None, device: str) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
