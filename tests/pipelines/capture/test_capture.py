"""The whole capture of a short clip: what lies in the folder, that a broken run continues, that bad footage is refused."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from avatarcli.settings import resolve
from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset_view import view_of
from pipelines.capture import CaptureSettings, camera_seconds, capture
from pipelines.capture.cameras import solve
from pipelines.capture.cameras.candidate import CameraSettings
from pipelines.capture.dataset import alignment, records
from pipelines.capture.frames import extract
from pipelines.capture.frames.scan import FrameSettings
from pipelines.capture.mattes import person, whole_frame
from pipelines.capture.mattes.person import MatteSettings
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, read_image, read_json, write_json
from pipelines.core.stage import Silent, step_warnings
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import MEASURED, RIGID
from pipelines.face.movements import MOVEMENTS
from pipelines.media.encoder import write_video
from pipelines.media.video import read_frames
from pipelines.run import RunSettings
from tests.material import DEMO

SETTINGS = CaptureSettings(frames=FrameSettings(max_frames=26), cameras=CameraSettings(method="landmarks"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of the demo person at half size, 10 frames a second, a black frame first."""
    path = tmp_path_factory.mktemp("clip") / "person of mine.mp4"
    images = [frame.image for frame in read_frames(DEMO, indices=set(range(200, 350, 5)), longest_side_px=360)]
    write_video(path, [np.zeros_like(images[0]), *images], 10)
    return path


@pytest.fixture(scope="module")
def folder(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return capture(clip, tmp_path_factory.mktemp("out") / "me.capture", SETTINGS).out


def test_cameras_get_what_the_other_steps_leave_of_a_limit(tmp_path: Path) -> None:
    """40 s so far, and 16 s for the steps that follow on such a machine; a limit is none of the settings."""
    for name, seconds in (("scan", 10.0), ("mattes", 30.0)):
        write_json(tmp_path / "steps" / f"{name}.json", {"seconds": seconds, "figures": {}, "order": seconds})
    assert camera_seconds(tmp_path, 240.0) == pytest.approx(240 - 56)
    assert camera_seconds(tmp_path, 50.0) < 0 and camera_seconds(tmp_path, math.inf) == math.inf


def test_a_capture_is_the_same_under_any_limit(clip: Path, folder: Path) -> None:
    assert capture(clip, folder, SETTINGS, limit_s=1.0).status == "unchanged"


def test_cameras_that_come_from_landmarks_for_want_of_time_are_named_again(
    clip: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "me.capture")
    solve._warn_of_time(tmp_path, 12.0, Silent())
    record = read_json(folder / "stage.json")
    write_json(tmp_path / "me.capture" / "stage.json", record | {"warnings": step_warnings(tmp_path)})
    progress, said = Silent(), list[str]()
    monkeypatch.setattr(progress, "warn", said.append)
    assert capture(clip, tmp_path / "me.capture", SETTINGS, progress).status == "unchanged"
    assert (
        len(said) == 1 and "is taken as it is: the time limit left COLMAP 12 s" in said[0] and "under another name" in said[0]
    )


def test_the_folder_holds_what_training_reads(folder: Path) -> None:
    data = view_of(folder, PORTRAIT)
    assert 24 <= len(data.names) <= 26
    assert list(data.source_index) == sorted(set(data.source_index)) and data.source_index[0] >= 1
    assert set(data.split) == {"train", "test"} and list(data.split) == sorted(data.split, reverse=True)
    rows = np.arange(len(data.names))
    images, heads = data.images(rows, 96), data.head_mattes(rows, 96)
    assert images.shape[1:] == (96, 96, 3)
    assert heads[:, 40:56, 40:56].min() > 240 and heads[:, :6, :6].max() < 20 and heads[:, -3:].mean() < 60
    assert data.weight.min() > 0.3
    tracking = data.tracking()
    assert tracking["landmarks"].shape == (len(rows), 478, 3)
    assert tracking["expression_measured"].shape == (len(rows), len(MEASURED))
    poses = read_arrays(folder / "tracking.npz")["camera_from_head"]
    assert np.allclose(np.linalg.inv(poses), data.world_from_camera) and 0.3 < np.median(poses[:, 2, 3]) < 3, "in metres"


def test_the_record_and_the_page_say_which_movements_were_filmed(folder: Path) -> None:
    movements = read_json(folder / "capture.json")["movements"]
    assert [row["movement"] for row in movements] == [movement.name for movement in MOVEMENTS]
    kept = [item["source_index"] for item in read_json(folder / "dataset.json")["items"]]
    assert all(row["frames"] >= row["kept"] and row.get("example", kept[0]) in kept for row in movements)
    page = (folder / "report.html").read_text()
    assert page.count("<td><figure>") == sum("example" in row for row in movements) > 0
    assert any(said.startswith("No frame shows") for said in read_json(folder / "stage.json")["warnings"])


def test_landmarks_of_the_mean_head_lie_on_the_face_in_the_crops(folder: Path) -> None:
    data, head = view_of(folder, PORTRAIT), canonical_landmarks()[RIGID]
    for row in (0, len(data.names) - 1):
        camera = np.linalg.inv(data.world_from_camera[row])
        inside = (head @ camera[:3, :3].T + camera[:3, 3]) @ data.intrinsics[row].T
        seen = (data.tracking()["landmarks"][row, RIGID, :2] - data.box[row, :2]) / data.box[row, 2]
        assert np.median(np.linalg.norm(inside[:, :2] / inside[:, 2:] - seen, axis=1)) < 0.02


def test_transforms_are_those_of_the_nerf_tools(folder: Path) -> None:
    record, data = read_json(folder / "transforms.json"), view_of(folder, PORTRAIT)
    assert [frame["source_index"] for frame in record["frames"]] == list(data.source_index)
    assert {"source_index": 0, "time_s": 0.0, "reason": "black"} in record["dropped"]
    for frame, pose in zip(record["frames"], data.world_from_camera, strict=True):
        matrix = np.array(frame["transform_matrix"])
        assert (folder / frame["file_path"]).exists()
        assert np.allclose(matrix[:, 1:3], -pose[:, 1:3]) and np.allclose(matrix[:, [0, 3]], pose[:, [0, 3]])
    image = read_image(folder / record["frames"][0]["file_path"])
    assert (record["w"], record["h"]) == image.shape[1::-1]
    assert len(list((folder / "frames").iterdir())) == len(record["frames"])


def test_nothing_says_where_or_by_whom_it_was_made(folder: Path, clip: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix in {".json", ".html", ".log"}:
            text = path.read_text()
            assert str(clip.parent) not in text and str(folder.parent) not in text and str(Path.home()) not in text
    assert read_json(folder / "capture.json")["source"]["file_name"] == "person of mine.mp4"
    assert not (folder / "work").exists()
    assert {"contact.png", "overlay.png", "report.html", "stage.json"} <= {path.name for path in folder.iterdir()}


def test_what_could_be_filmed_better_is_kept_with_the_capture(folder: Path) -> None:
    warnings = read_json(folder / "stage.json")["warnings"]
    assert any("come closer to the camera" in said for said in warnings), warnings


def test_a_second_run_has_nothing_to_do_and_other_settings_are_refused(folder: Path, clip: Path) -> None:
    assert capture(clip, folder, SETTINGS).status == "unchanged"
    with pytest.raises(SettingError, match="--overwrite"):
        capture(clip, folder, CaptureSettings(seed=1))


def test_a_run_broken_anywhere_continues_to_the_same_result(
    folder: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    out = tmp_path / "again.capture"
    for module, name, calls in ((extract, "write_image", 9), (person, "write_image", 7), (alignment, "align", 0),
                                (whole_frame, "write_image", 9), (records, "write_tracking", 0)):  # fmt: skip
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, breaking(getattr(module, name), calls))
            capture(clip, out, SETTINGS)
        assert not out.exists()
    assert capture(clip, out, SETTINGS).status == "done"
    assert contents(out) == contents(folder)


def breaking(function, calls: int):
    """`function` that is interrupted at its call number `calls`."""
    left: Iterator[int] = iter(range(calls))

    def called(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return called


def contents(folder: Path) -> dict[str, object]:
    """Every file but those that tell the time."""
    timed = {"stage.json", "report.html"}
    cached = {"steps", "derived"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in timed and not cached & {*path.parts}]
    return {
        str(path.relative_to(folder)): json.dumps({k: v.tolist() for k, v in read_arrays(path).items()})
        if path.suffix == ".npz"
        else path.read_bytes()
        for path in files
    }


def test_settings_that_cannot_be_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="choose mediapipe or one of"):
        capture(tmp_path / "not there.mp4", tmp_path / "a.capture", CaptureSettings(mattes=MatteSettings(model="nonsense")))
    for key, value in (("frames.max_frames", "-3"), ("cameras.sfm_views", "0"), ("dataset.held_out", "1.5"),
                       ("mattes.refine_px", "0")):  # fmt: skip
        with pytest.raises(SettingError, match=key.rpartition(".")[2]):
            resolve(CaptureSettings(), assignments=[f"{key}={value}"])


@pytest.mark.parametrize(
    ("setting", "instead"),
    [
        ("prior=ffhq.prior", "choose the prior for train"), ("alignment.max_rms_units=0.03", "use alignment.max_rms_m"),
        ("opinions.use_fan=false", "use landmark_agreement"), ("dataset.crop_size=256", "when an avatar is trained"),
    ],
)  # fmt: skip
def test_settings_of_earlier_versions_say_what_to_do_instead(setting: str, instead: str) -> None:
    for base, prefix in ((CaptureSettings(), ""), (RunSettings(), "capture.")):
        with pytest.raises(SettingError, match=instead):
            resolve(base, assignments=[prefix + setting])


def test_no_face_and_too_short_are_refused_and_leave_no_capture(clip: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 90, 120, 3)).astype(np.uint8)
    write_video(tmp_path / "noise.mp4", noise, 10)
    with pytest.raises(UnusableMaterial, match=r"no face was found in noise\.mp4; film"):
        capture(tmp_path / "noise.mp4", tmp_path / "a.capture", SETTINGS)
    write_video(tmp_path / "black.mp4", [np.zeros((90, 120, 3), np.uint8)] * 12, 10)
    with pytest.raises(UnusableMaterial, match=r"every frame of black\.mp4 is black; film"):
        capture(tmp_path / "black.mp4", tmp_path / "a.capture", SETTINGS)
    write_video(tmp_path / "short.mp4", [frame.image for frame in read_frames(clip, indices={3, 4, 5})], 10)
    with pytest.raises(UnusableMaterial, match="at least 24 frames over 2 s"):
        capture(tmp_path / "short.mp4", tmp_path / "b.capture", SETTINGS)
    assert not (tmp_path / "a.capture").exists() and not (tmp_path / "b.capture").exists()
