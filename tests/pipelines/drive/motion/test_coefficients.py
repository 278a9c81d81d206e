"""Coefficients of other models through a linear adapter."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_arrays
from pipelines.drive.motion.coefficients import adapted, fit_adapter, load_adapter, save_adapter
from pipelines.face.expression import MEASURED
from tests.pipelines.drive.takes import FRONT, moving


def paired(count: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """FLAME-like arrays whose linear image our channels are, and that image's matrix."""
    random = np.random.default_rng(1)
    scores = moving(count).expression.astype(np.float64)
    mix = random.normal(size=(len(MEASURED), len(MEASURED)))
    source = scores @ np.linalg.inv(mix).T
    return {"expression": source[:, :24], "jaw_pose": source[:, 24:], "fps": np.array(30.0)}, mix


def test_an_adapter_is_fitted_to_paired_footage_and_drives(tmp_path: Path):
    values, _ = paired()
    angles = np.column_stack([np.zeros(400), np.linspace(-0.4, 0.4, 400), np.zeros(400)])
    values["global_orient"] = angles
    adapter, explained = fit_adapter(values, moving(400), 30.0, ridge=1e-9)
    assert explained.min() > 0.99 and adapter.inputs == ("expression", "jaw_pose")
    save_adapter(tmp_path / "flame.adapter.npz", adapter)
    write_arrays(tmp_path / "flame.npz", **values)
    track = adapted(tmp_path / "flame.npz", tmp_path / "flame.adapter.npz", None)
    assert track.space == "measured" and track.rate_hz == 30.0
    assert np.abs(track.expression - moving(400).expression).max() < 0.05
    assert np.allclose(track.world_from_head[:, :3, :3], FRONT @ Rotation.from_rotvec(angles).as_matrix())


def test_the_share_explained_is_of_frames_that_were_not_fitted():
    random = np.random.default_rng(2)
    _, explained = fit_adapter({"exp": random.normal(size=(400, 64))}, moving(400), 30.0)
    assert np.median(explained) < 0.1


def test_what_is_missing_is_said(tmp_path: Path):
    values, _ = paired()
    write_arrays(tmp_path / "flame.npz", **values)
    with pytest.raises(UnusableMaterial, match="--set track.adapter=FILE.*fit_adapter.py"):
        adapted(tmp_path / "flame.npz", None, None)
    adapter, _ = fit_adapter(values, moving(400), 30.0)
    save_adapter(tmp_path / "a.npz", adapter)
    assert load_adapter(tmp_path / "a.npz").names == MEASURED
    for arrays, said in [
        ({"expression": values["expression"], "fps": np.array(30.0)}, "no array jaw_pose; it holds expression, fps"),
        ({**values, "expression": values["expression"][:, :5]}, "have 8 columns, the adapter was made for 27"),
        ({k: v for k, v in values.items() if k != "fps"}, "states no frame rate"),
    ]:
        write_arrays(tmp_path / "b.npz", **arrays)
        with pytest.raises(UnusableMaterial, match=said):
            adapted(tmp_path / "b.npz", tmp_path / "a.npz", None)
    with pytest.raises(UnusableMaterial, match="is not an adapter"):
        load_adapter(tmp_path / "flame.npz")


def test_too_little_footage_for_an_adapter():
    values, _ = paired(40)
    with pytest.raises(UnusableMaterial, match="40 frames are in both"):
        fit_adapter(values, moving(40), 30.0)
