"""Where a training begins: written, read, and refused when its arrays do not belong together."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from models.camera import Camera
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.train.open_mouth import OpenedMouths
from pipelines.train.remembered_views import Views
from pipelines.train.start_state import StartState


def full() -> StartState:
    """Something of everything."""
    camera = Camera.frontal(2.7, 3.0)[torch.zeros(2, dtype=torch.long)]
    return StartState(
        person=torch.arange(8.0), latent_subspace=torch.eye(3, 8), latents=torch.ones(5, 8),
        views=Views(camera=camera, raw=torch.rand(2, 3, 4, 4), alpha=torch.rand(2, 1, 4, 4)),
        opened=OpenedMouths(
            of=torch.tensor([1, 1, 4]), image=torch.zeros(3, 3, 6, 6, dtype=torch.uint8),
            alpha=torch.ones(3, 1, 6, 6, dtype=torch.uint8),
        ),
    )  # fmt: skip


def same(one: StartState, other: StartState) -> bool:
    for name in ("person", "latent_subspace", "latents"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.views and other.views and one.opened and other.opened
    pairs = [(one.views.raw, other.views.raw), (one.views.alpha, other.views.alpha), (one.opened.of, other.opened.of)]
    pairs += [(one.opened.image, other.opened.image), (one.views.camera.label(), other.views.camera.label())]
    return all(torch.equal(first, second) and first.dtype == second.dtype for first, second in pairs)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = full()
    state.save(tmp_path)
    again = StartState.load(tmp_path)
    assert again.counts == {"people": 1, "views_to_remember": 2, "opened_frames": 3, "known_latents": 5}
    assert same(again, state) and same(again.to("cpu"), state)
    assert same(pickle.loads(pickle.dumps(again)), state), "it is sent to the other processes"


def test_where_nothing_is_known_there_is_no_file(tmp_path: Path) -> None:
    StartState().save(tmp_path)
    assert not list(tmp_path.iterdir()) and StartState.load(tmp_path) == StartState()


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "start.npz", person=np.zeros(8, np.float32), room=np.eye(2, 8, dtype=np.float32))
    subspace = StartState.load(tmp_path).latent_subspace
    assert subspace is not None and torch.equal(subspace, torch.eye(2, 8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"latent_subspace": None}, "has no latent_subspace"), ({"alpha": np.zeros((2, 1, 3, 3))}, "has alpha of shape"),
        ({"person": np.zeros(7)}, "has latent_subspace of shape"), ({"opened_of": np.zeros(3)}, "has opened_of of float64"),
        ({"latents": np.full((5, 8), np.nan)}, "not finite"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_belong_together_are_refused(
    tmp_path: Path, change: dict[str, np.ndarray | None], said: str
) -> None:
    full().save(tmp_path)
    arrays = {**read_arrays(tmp_path / "start.npz"), **change}
    write_arrays(tmp_path / "start.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(UnusableMaterial, match=said):
        StartState.load(tmp_path)
