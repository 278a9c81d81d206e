"""Synthetic people look as they did: a seed is the same person in every version, so that priors can be trained again.

`tests/goldens/people.npz` holds the pictures and the alphas of LOOKS averaged over 4x4 pixels, as `looks` returned them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.face.ict import load_face_model
from pipelines.prior.people import parts
from pipelines.prior.people.body import draw_posture
from pipelines.prior.people.person import Person
from pipelines.prior.people.posed import Pose, Posed
from pipelines.prior.people.scene import draw_light, render_person, view_from
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.traits import draw_traits
from tests.material import shared

GOLDEN = Path(__file__).parents[3] / "goldens" / "people.npz"
SIZE, BLOCK = 96, 4
LOOKS: tuple[dict[str, Any], ...] = (
    {"hairstyle": "long wavy", "feminine": True, "makeup": True, "glasses": True, "collar": 2, "beard": "none"},
    {"hairstyle": "ponytail", "feminine": True, "makeup": False, "freckles": 0.8, "collar": 0, "beard": "none"},
    {"hairstyle": "balding", "feminine": False, "makeup": False, "beard": "full", "age": 0.9, "collar": 1},
    {"hairstyle": "buzz", "feminine": False, "makeup": False, "beard": "stubble", "tone": 6.5},
    {"hairstyle": "curly top", "feminine": False, "makeup": False, "beard": "goatee", "moles": 2},
    {"hairstyle": "fringe", "feminine": True, "makeup": True, "beard": "none", "tone": 0.5},
)
"""What is not left to the seed; the places in this row are the seeds."""


@pytest.fixture(scope="module")
def stock() -> Stock:
    return Stock(load_face_model(shared("ict/ict_facekit.npz")), SIZE)


def looks(stock: Stock, number: int) -> np.ndarray:
    """float32 [B,B,4] color and alpha (0..255) of a person with a face of its own, aside and from above or below."""
    random = np.random.default_rng(number)
    person = Person(stock, replace(draw_traits(number), **LOOKS[number]))
    face = random.uniform(0, 0.6, 53) * (random.random(53) < 0.25)
    posed = Posed(person, Pose(face, (float(random.uniform(-15, 15)), 5.0), draw_posture(random)))
    view = view_from(float(random.uniform(-40, 40)), float(random.uniform(-15, 15)), 2.7)
    picture = render_person(posed, view, draw_light(random), SIZE)
    both = np.concatenate([picture.image, picture.alpha[..., None]], -1).astype(np.float32)
    return both.reshape(SIZE // BLOCK, BLOCK, SIZE // BLOCK, BLOCK, 4).mean((1, 3))


@pytest.mark.parametrize("number", range(len(LOOKS)))
def test_a_seed_is_the_person_it_was(stock: Stock, number: int) -> None:
    with np.load(GOLDEN) as golden:
        off = np.abs(looks(stock, number) - golden["looks"][number])
    assert off.mean() < 0.1 and off.max() < 4, "change the seeds' people only with the version of `prior synth`"


def test_hair_is_rooted_in_skin_by_its_height(stock: Stock) -> None:
    center = stock.model.mean[stock.mesh_faces].mean(1)
    rooted = np.isfinite(stock.rooted)
    assert 50 < rooted.sum() < len(rooted) and stock.rooted[rooted] == pytest.approx(center[rooted, 1])
    assert center[rooted, 1].min() > -6 and np.isin(stock.part[rooted], (parts.SKIN_PART, parts.NECK)).all()
