"""Skin as textures: how much of a beard's hair and shadow shows, on maps drawn here."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.prior.people.numbers import limit_color
from pipelines.prior.people.regions import SkinMap
from pipelines.prior.people.skin import paint_skin
from pipelines.prior.people.traits import draw_traits

SIZE = 8
PLACES = ("beard", "fine", "nose", "forehead", "cheek", "lips")
RED, BLACK = np.array([0.08, 0.02, 0.01]), np.array([0.004, 0.004, 0.004])
"""Both below what a color of hair is limited to."""
PLAIN: dict[str, Any] = {"feminine": False, "moles": 0, "makeup": False, "tone": 1.0, "skin": np.full(3, 0.5)}


def painted(**changes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Linear color [3] of the chin, where a beard grows, and of bare skin; nothing else is on this face."""
    values = np.zeros((SIZE * SIZE, len(PLACES)), np.float32)
    values[: SIZE * SIZE // 2, 0] = 1.0
    bald = np.full((SIZE, SIZE), -3.0, np.float32)
    maps = SkinMap(names=PLACES, values=values, scalp=bald, height=np.zeros_like(bald))
    traits = replace(draw_traits(1), **PLAIN | changes)
    color = paint_skin(traits, maps, face=True)[..., :3]
    return color[1, 1], color[-2, -2]


@pytest.mark.parametrize(("beard", "share"), [("full", 0.6 * 0.8), ("stubble", 0.18), ("none", 0.0), ("goatee", 0.0)])
def test_a_beard_has_the_color_of_the_hair_where_it_grows(beard: str, share: float) -> None:
    (red, bare), (black, same) = (painted(beard=beard, hair=hair) for hair in (RED, BLACK))
    assert red - black == pytest.approx(share * (limit_color(RED, 0.2) - limit_color(BLACK, 0.2)), abs=1e-5)
    assert bare == pytest.approx(0.5) and same == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("beard", "feminine", "shadow", "share"),
    [("full", False, 0.9, 0.6), ("stubble", False, 1.0, 0.18), ("none", False, 0.12, 0.0), ("none", True, 0.0, 0.0)],
)
def test_the_skin_below_a_beard_is_in_its_shadow(beard: str, feminine: bool, shadow: float, share: float) -> None:
    """And a man's shaved chin a little."""
    chin = painted(beard=beard, hair=BLACK, feminine=feminine)[0]
    hair = BLACK * (0.8 if beard == "full" else 1.0)
    below = (chin - share * hair) / (1 - share)
    strength = 0.75 - 0.4 * 1.0 / 7
    assert np.log(below / 0.5) / strength == pytest.approx(shadow * np.array([-0.34, -0.30, -0.22]), abs=1e-3)
