"""Where a face model lies in a generator's space."""

from dataclasses import replace

import numpy as np
import pytest

from models.faceshop.guide import frame_of
from models.head_frame import HeadFrame
from tests.models.faceshop.toy_face import bowl


def test_the_models_origin_is_where_its_heads_center_says_in_decimetres() -> None:
    matrix = np.diag([4.0, 4.0, 4.0, 1.0])
    matrix[:3, 3] = [0.4, 0.8, -0.2]  # the generator's origin lies at -0.1, -0.2, 0.05 m of the head
    frame = HeadFrame(prior_from_head=matrix, crop_extent=1.0)
    placed = frame_of(replace(bowl(), head_center=(0.1, 0.2, 0.3)), frame)
    assert placed.meters_per_unit == pytest.approx(0.25)
    assert placed.origin_dm == pytest.approx((0.1 - 1.0, 0.2 - 2.0, 0.3 + 0.5))


def test_a_model_of_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        frame_of(replace(bowl(), head_center=None), HeadFrame.of_scale(0.25, 1.0))
