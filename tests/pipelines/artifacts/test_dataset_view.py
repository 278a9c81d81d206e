"""Crops of a capture in a head frame: those that captures used to hold, cached, never stale; of old ones, one prior's."""

import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.head_frame import HeadFrame
from pipelines.artifacts.avatar import head_frame_of
from pipelines.artifacts.avatar_record import load_avatar_record
from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset_view import DERIVED, view_of
from pipelines.artifacts.joined_dataset import PAUSE_S, join
from pipelines.artifacts.prior import Prior, load_prior
from pipelines.capture.mattes.crop_squares import region
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, read_json, write_arrays, write_image, write_json
from pipelines.core.stage import fingerprint_of
from tests import drawn_capture
from tests.tiny import write_tiny_avatar
from tests.worlds import as_schema_1, write_solid_capture

GOLDEN = Path(__file__).parents[2] / "goldens" / "crops_schema1.npz"


@pytest.fixture
def quick() -> Prior:
    return load_prior("quick")


@pytest.fixture
def solid(tmp_path: Path) -> Path:
    return write_solid_capture(tmp_path / "solid.capture", frames=6)


def write_drawn(folder: Path, golden: dict[str, np.ndarray]) -> Path:
    """The capture of which earlier versions made the golden's crops."""
    items = []
    for row, points in enumerate(golden["points"]):
        name, (x0, y0, side) = f"{row:06d}", region(points)
        write_image(folder / "frames" / f"{name}.jpg", drawn_capture.frame(row))
        write_image(folder / "mattes" / f"{name}.png", drawn_capture.square_matte(row))
        box = [x0, y0, side / drawn_capture.SQUARE_PX]
        items.append({"name": name, "source_index": row, "time_s": row / 10, "split": "train", "weight": 1.0, "matte_box": box})
    record = {"schema": 2, "frame_size": drawn_capture.SIZE, "focal_px": drawn_capture.FOCAL_PX, "items": items}
    write_json(folder / "dataset.json", record)
    tracking = {"landmarks": golden["points"], "camera_from_head": golden["camera_from_head"]}
    write_arrays(folder / "tracking.npz", expression_measured=np.zeros((len(items), 27)), **tracking)
    return folder


def test_crops_mattes_and_labels_are_those_of_earlier_versions(tmp_path: Path, quick: Prior) -> None:
    """Up to rounding: one gray level where a weight falls on a half, labels to 1e-6 of the 2 units to the head."""
    golden = read_arrays(GOLDEN)
    view, rows = view_of(write_drawn(tmp_path / "a.capture", golden), quick.frame), np.arange(3)
    labels = np.concatenate([view.world_from_camera.reshape(3, 16), view.intrinsics.reshape(3, 9)], axis=1)
    assert np.abs(labels - golden["labels"]).max() < 1e-6
    assert np.abs(view.box - golden["box"]).max() < 1e-4
    for cut, kind in ((view.images, "images"), (view.person_mattes, "mattes"), (view.head_mattes, "heads")):
        off = np.abs(cut(rows, 128).astype(int) - golden[kind])
        assert off.max() <= 1 and off.mean() < 0.01, kind
    assert golden["heads"].max() == 255 and np.ptp(golden["images"]) > 150, "or nothing is compared"


def test_one_capture_serves_two_priors_at_any_size(solid: Path, quick: Prior) -> None:
    """A prior of twice the extent shows the same at half the size."""
    wide = HeadFrame.of_scale(0.37, 2 * 0.272 / 0.37, "upper body")
    near, far, rows = view_of(solid, quick.frame), view_of(solid, wide), np.arange(6)
    small = far.images(rows, 64)[:, 16:48, 16:48].astype(int)
    assert np.abs(near.images(rows, 32).astype(int) - small)[:, 4:-4, 4:-4].mean() < 3
    assert np.allclose(far.world_from_camera[:, :3, 3] * 0.37, near.world_from_camera[:, :3, 3] * 0.32)
    assert near.images(rows[:1], 600).shape == (1, 600, 600, 3)
    assert len(list((solid / DERIVED).iterdir())) == 2


def test_what_was_cut_is_read_again_and_the_fingerprint_stays(
    solid: Path, quick: Prior, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rows = fingerprint_of(solid), np.arange(6)
    images, heads = view_of(solid, quick.frame).images(rows, 32), view_of(solid, quick.frame).head_mattes(rows, 32)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("cut again")

    monkeypatch.setattr("pipelines.artifacts.dataset_view.cut_square", never)
    again = view_of(solid, quick.frame)
    assert np.array_equal(again.images(rows, 32), images) and np.array_equal(again.head_mattes(rows, 32), heads)
    assert fingerprint_of(solid) == before
    with pytest.raises(AssertionError, match="cut again"):
        again.images(rows, 16)


@pytest.mark.parametrize("broken", [b"", b"\x89PNG not any more", None])
def test_a_broken_file_of_the_cache_is_cut_anew(solid: Path, quick: Prior, broken: bytes | None) -> None:
    rows = np.arange(6)
    images = view_of(solid, quick.frame).images(rows, 32)
    path = next((solid / DERIVED).rglob("crops/000003.png"))
    whole = path.read_bytes()
    if broken is None:
        write_image(path, np.zeros((8, 8, 3), np.uint8))
    else:
        path.write_bytes(broken)
    assert np.array_equal(view_of(solid, quick.frame).images(rows, 32), images)
    assert path.read_bytes() == whole


def test_other_cameras_are_another_view(solid: Path, quick: Prior) -> None:
    """A copy of the capture whose poses were changed does not get the pictures of the first."""
    before = view_of(solid, quick.frame).images(np.arange(2), 32)
    tracking = read_arrays(solid / "tracking.npz")
    tracking["camera_from_head"][:, 0, 3] += 0.02
    write_arrays(solid / "tracking.npz", **tracking)
    assert np.abs(view_of(solid, quick.frame).images(np.arange(2), 32).astype(int) - before).max() > 20


def test_two_trainings_may_fill_one_cache(solid: Path, quick: Prior) -> None:
    rows = np.arange(6)
    alone = view_of(solid, quick.frame, cached=False).images(rows, 32)
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: view_of(solid, quick.frame).images(rows, 32), range(4)))
    assert all(np.array_equal(images, alone) for images in every)
    assert not [path for path in solid.rglob(".*") if path.is_file()]


def test_a_capture_that_cannot_be_written_is_cached_at_the_users(
    solid: Path, quick: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATARCLI_CACHE", str(tmp_path / "cache"))
    (solid / DERIVED).write_bytes(b"in the way, as a read-only disk is")
    rows = np.arange(6)
    images = view_of(solid, quick.frame).images(rows, 32)
    assert len(list((tmp_path / "cache" / DERIVED).rglob("crops/*.png"))) == 6
    assert np.array_equal(view_of(solid, quick.frame).images(rows, 32), images)
    (tmp_path / "cache" / DERIVED).rename(tmp_path / "gone")
    (tmp_path / "cache" / DERIVED).write_bytes(b"")
    assert np.array_equal(view_of(solid, quick.frame).images(rows, 32), images), "without any cache"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_without_permission_are_left_alone(
    solid: Path, quick: Prior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATARCLI_CACHE", str(tmp_path / "cache"))
    solid.chmod(stat.S_IRUSR | stat.S_IXUSR)
    view_of(solid, quick.frame).images(np.arange(6), 32)
    assert not (solid / DERIVED).exists() and (tmp_path / "cache").exists()


def test_an_old_capture_is_a_view_for_its_prior_by_content(solid: Path, quick: Prior) -> None:
    """Crops, mattes, labels and expressions as they were written; the prior's name does not matter, its sha256 does."""
    view, rows = view_of(solid, quick.frame), np.arange(6)
    images, heads = view.images(rows, 128), view.head_mattes(rows, 128)
    old = as_schema_1(solid, quick)
    record = read_json(old / "capture.json")
    write_json(old / "capture.json", {**record, "prior": {**record["prior"], "name": "renamed"}})
    again = view_of(old, quick.frame)
    assert np.array_equal(again.images(rows, 128), images) and np.array_equal(again.head_mattes(rows, 128), heads)
    assert np.abs(again.world_from_camera - view.world_from_camera).max() < 1e-12
    assert np.array_equal(again.inside(rows, 32), view.inside(rows, 32)) and list(again.split) == list(view.split)
    assert again.tracking().keys() == view.tracking().keys() and not (old / DERIVED / "crops").exists()


def test_an_avatar_made_before_frames_were_recorded_has_that_of_its_landmarks(quick: Prior, tmp_path: Path) -> None:
    avatar = write_tiny_avatar(tmp_path / "a.avatar")
    record = replace(load_avatar_record(avatar), frame=None, crop_extent=0.85)
    frame = head_frame_of(avatar, record)
    assert np.abs(frame.prior_from_head - quick.frame.prior_from_head).max() < 1e-5 and frame.crop_extent == 0.85
    with pytest.raises(UnusableMaterial, match="has no crop_extent"):
        head_frame_of(avatar, replace(record, crop_extent=None))


@pytest.mark.parametrize("sha256", ["0" * 64, ""])
def test_an_old_capture_of_another_prior_says_how_to_capture_again(solid: Path, quick: Prior, sha256: str) -> None:
    old = as_schema_1(solid, quick)
    write_json(old / "capture.json", {"schema": 1, "prior": {"name": quick.name, "sha256": sha256}})
    with pytest.raises(UnusableMaterial) as caught:
        view_of(old, quick.frame)
    assert str(caught.value).endswith("alone; capture again from the footage: avatarcli capture FOOTAGE -o solid.capture.")
    with pytest.raises(UnusableMaterial, match="capture again"):
        view_of(as_schema_1(write_solid_capture(solid.parent / "b.capture", frames=3), quick), PORTRAIT)


def test_captures_are_joined_whatever_their_schema(solid: Path, quick: Prior, tmp_path: Path) -> None:
    other = write_solid_capture(tmp_path / "other.capture", frames=4, opening=2.0)
    parts = view_of(solid, quick.frame), view_of(as_schema_1(other, quick), quick.frame)
    both, rows = join(parts), np.array([8, 0, 7, 5])
    expected = [parts[1].images(np.array([2]), 32), parts[0].images(np.array([0]), 32), parts[1].images(np.array([1]), 32)]
    assert np.array_equal(both.images(rows, 32)[:3], np.concatenate(expected))
    assert both.head_mattes(rows, 32).shape == both.inside(rows, 32).shape == (4, 32, 32)
    assert len(both.names) == 10 and len(both.tracking()["expression_measured"]) == 10
    assert both.time_s[0] == 0 and np.diff(both.time_s)[5] == pytest.approx(PAUSE_S) and (np.diff(both.time_s) > 0).all()
    last = both.source_index[5]
    assert both.source_index[6:].tolist() == [last + 1 + number for number in parts[1].source_index], "behind the first one's"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 3}, "schema 3; this version reads 1 and 2"), ({"focal_px": None}, "focal_px"),
        ({"focal_px": -1.0}, "focal_px"), ({"items": [{"name": "../../x"}]}, "name"), ({"frame_size": [0, 100]}, "frame_size"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_fit_is_one_sentence(solid: Path, quick: Prior, change: dict[str, object], said: str) -> None:
    record = read_json(solid / "dataset.json") | change
    (solid / "dataset.json").write_text(json.dumps(record))
    with pytest.raises(UnusableMaterial, match=said) as caught:
        view_of(solid, quick.frame)
    assert "\n" not in str(caught.value)


def test_parts_of_two_captures_are_told_apart(solid: Path, quick: Prior, tmp_path: Path) -> None:
    shutil.copy(write_solid_capture(tmp_path / "b.capture", frames=3) / "tracking.npz", solid / "tracking.npz")
    with pytest.raises(UnusableMaterial, match="of another capture than dataset.json"):
        view_of(solid, quick.frame)
