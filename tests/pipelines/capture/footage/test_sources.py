"""Whole captures of what is not one clip of one person: photos, frames with cameras, two clips, two people."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.artifacts.crops import PORTRAIT
from pipelines.artifacts.dataset_view import view_of
from pipelines.capture import CaptureSettings, capture
from pipelines.capture.cameras.candidate import CameraSettings
from pipelines.capture.footage.source import open_footage
from pipelines.capture.frames import extract, scan
from pipelines.capture.frames.scan import FrameSettings, face_side
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json
from pipelines.core.stage import Silent
from pipelines.demo import Truth, demo_clips, load_truth, truth_path
from pipelines.geometry.angles import rotation_angle_deg
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV
from pipelines.media.encoder import write_video
from pipelines.media.squares import cut_square
from pipelines.media.video import read_frames
from tests.material import DEMO, shared

SETTINGS = CaptureSettings(frames=FrameSettings(max_frames=30))
LANDMARKS = replace(SETTINGS, cameras=CameraSettings(method="landmarks"))


def demo(indices: list[int], longest_side_px: int | None = None) -> list[np.ndarray]:
    return [frame.image for frame in read_frames(DEMO, indices=set(indices), longest_side_px=longest_side_px)]


def truth() -> Truth:
    return load_truth(truth_path(demo_clips().capture))


def given(folder: Path, indices: list[int], **change: object) -> Path:
    """Frames of the demo with their true cameras, in the form of the NeRF tools."""
    folder.mkdir()
    poses, named = truth().world_from_camera @ OPENGL_FROM_OPENCV, []
    for index, image in zip(indices, demo(indices), strict=True):
        Image.fromarray(image).save(folder / f"{index}.png")
        named.append({"file_path": str(index), "transform_matrix": poses[index].tolist()})
    size = {"w": 512, "h": 640, "fl_x": 640.0, "fl_y": 640.0, "cx": 256.0, "cy": 320.0}
    (folder / "transforms.json").write_text(json.dumps({**size, "frames": named, **change}))
    return folder


def test_given_cameras_are_kept_and_the_head_is_found_in_them(tmp_path: Path) -> None:
    indices = list(range(0, 504, 42))
    out = capture(given(tmp_path / "given", indices), tmp_path / "me.capture", SETTINGS).out
    data, record = view_of(out, PORTRAIT), read_json(out / "capture.json")
    assert record["kind"] == "given" and record["camera"]["method"] == "given" and len(data.names) == len(indices)
    true = truth().world_from_camera[indices]
    between = np.einsum("nij,nkj->nik", data.world_from_camera[:, :3, :3], true[:, :3, :3])
    assert rotation_angle_deg(between, np.broadcast_to(between[0], between.shape)).max() < 0.01
    assert rotation_angle_deg(data.world_from_camera[:, :3, :3], true[:, :3, :3]).max() < 4
    centers, places = data.world_from_camera[:, :3, 3], true[:, :3, 3]
    assert np.allclose(np.ptp(centers, axis=0) / np.ptp(places, axis=0), record["alignment"]["scale"], rtol=0.15)
    assert record["alignment"]["rms_m"] < 0.0064 and "given cameras" not in " ".join(record["faces_found_by"])
    assert list(np.flatnonzero(data.split == "test")) == [3, 10]
    assert capture(tmp_path / "given", out, SETTINGS).status == "unchanged"


def test_cameras_with_other_axes_are_refused(tmp_path: Path) -> None:
    folder = given(tmp_path / "given", list(range(0, 504, 42)))
    record = read_json(folder / "transforms.json")
    for frame in record["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ OPENGL_FROM_OPENCV).tolist()
    (folder / "transforms.json").write_text(json.dumps(record))
    with pytest.raises(UnusableMaterial, match="do not fit the pictures"):
        capture(folder, tmp_path / "me.capture", SETTINGS)
    assert not (tmp_path / "me.capture").exists()


def test_a_turntable_keeps_its_back_views(tmp_path: Path) -> None:
    source, folder = shared("scans/facelift_sample_000"), tmp_path / "scan"
    folder.mkdir()
    known = read_json(source / "opencv_cameras.json")["frames"]
    named = [
        {"file_path": str(source / one["file_path"]), "fl_x": one["fx"], "fl_y": one["fy"], "cx": one["cx"], "cy": one["cy"],
         "transform_matrix": (np.linalg.inv(one["w2c"]) @ OPENGL_FROM_OPENCV).tolist()} for one in known
    ]  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps({"frames": named}))
    out = capture(folder, tmp_path / "me.capture", SETTINGS).out
    data, record = view_of(out, PORTRAIT), read_json(out / "capture.json")
    assert len(data.names) == 30 and record["alignment"]["rms_m"] < 0.0032
    eye = data.world_from_camera[:, :3, 3]
    yaw = np.degrees(np.arctan2(eye[:, 0], eye[:, 2]))
    assert yaw.max() > 170 and yaw.min() < -170
    heads = data.head_mattes(np.arange(30), 64)
    assert heads[:, 24:40, 24:40].min() > 200
    assert_mattes_are_the_alphas(out, [source / one["file_path"] for one in known])


def assert_mattes_are_the_alphas(out: Path, views: list[Path]) -> None:
    """Inside the crops; mediapipe's mattes are off by 0.002 to 0.016 here."""
    view = view_of(out, PORTRAIT)
    for row, matte in enumerate(view.person_mattes(np.arange(len(view.names)), 512)):
        alpha = np.array(Image.open(views[view.source_index[row]]).getchannel("A"))
        there = cut_square(alpha, tuple(view.box[row]), 512, outside=0).astype(float)
        assert np.abs(matte - there)[32:-32, 32:-32].mean() < 0.001 * 255


def test_a_folder_of_photos_becomes_a_capture(tmp_path: Path) -> None:
    indices, folder = list(range(190, 430, 24)), tmp_path / "photos of me"
    folder.mkdir()
    for index, image in zip(indices, demo(indices, 480), strict=True):
        Image.fromarray(image).save(folder / f"IMG {index}.jpg", quality=92)
    out = capture(folder, tmp_path / "me.capture", LANDMARKS).out
    data, record = view_of(out, PORTRAIT), read_json(out / "capture.json")
    assert record["kind"] == "photos" and len(data.names) == 10 and set(data.split) == {"train", "test"}
    true = truth().world_from_camera[indices]
    between = np.einsum("nij,nkj->nik", data.world_from_camera[:, :3, :3], true[:, :3, :3])
    assert np.median(rotation_angle_deg(between, np.broadcast_to(between[5], between.shape))) < 3
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(folder / "new.jpg")
    assert capture(folder, tmp_path / "other.capture", LANDMARKS).figures["dropped"] == {"black": 1}


def test_two_clips_of_one_person_become_one_capture(tmp_path: Path) -> None:
    images = demo(list(range(200, 400, 4)), 360)
    write_video(tmp_path / "a.mp4", images[:26], 10)
    write_video(tmp_path / "b.mp4", images[26:], 10)
    with pytest.raises(UnusableMaterial, match="does not exist"):
        capture([tmp_path / "a.mp4", tmp_path / "none.mp4"], tmp_path / "x.capture", LANDMARKS)
    out = capture([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "me.capture", LANDMARKS).out
    data, record = view_of(out, PORTRAIT), read_json(out / "dataset.json")
    assert len(data.names) == 30 and record["split"]["rule"] == "last 15% by time of each clip"
    first = data.source_index < 26
    for own in (first, ~first):
        kinds = data.split[own]
        assert 10 <= own.sum() <= 20 and list(kinds) == sorted(kinds, reverse=True) and set(kinds) == {"train", "test"}
    assert [one["file_name"] for one in read_json(out / "capture.json")["sources"]] == ["a.mp4", "b.mp4"]


def beside(path: Path, count: int, late: int, side_px: int) -> Path:
    """A small person on the right all the time, a large one on the left from frame `late` on."""
    large = read_frames(shared("clips/capture_home_glasses.mp4"), indices=set(range(count)), longest_side_px=400)
    small = read_frames(shared("clips/drive_singing.mp4"), indices=set(range(count)), longest_side_px=side_px)
    images = []
    for number, (a, b) in enumerate(zip(large, small, strict=True)):
        image = np.full((400, 720, 3), 60, np.uint8)
        if number >= late:
            image[: a.image.shape[0], : a.image.shape[1]] = a.image
        image[100 : 100 + b.image.shape[0], 480 : 480 + b.image.shape[1]] = b.image
        images.append(image)
    write_video(path, images, 25)
    return path


@pytest.mark.parametrize("side_px", [150, 220])
def test_of_two_people_the_one_who_is_there_longest_and_largest_is_taken(tmp_path: Path, side_px: int) -> None:
    footage = open_footage([beside(tmp_path / "two.mp4", 90, 20, side_px)], 1920)
    figures = extract.scan(tmp_path, footage, FrameSettings(), Silent())
    seen = scan.load_scan(tmp_path)
    usable = seen.usable
    assert usable.min() >= 20 and len(usable) > 50 and face_side(seen.points[usable]).min() > 150
    assert all(seen.points[usable, :, 0].max(1) < 450)
    said = " ".join(extract.remarks(seen, figures, footage))
    assert "More than one person" in said and "longest and largest" in said and not figures["damaged"] + figures["lost"]
    assert {scan.REASONS[code - 1] for code in seen.reason[:20] if code} == {"another face"}


def test_a_clip_that_was_cut_off_says_so_in_its_report(tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_video(whole, demo(list(range(200, 500, 5)), 360), 10)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.7)])
    out = capture(cut, tmp_path / "me.capture", LANDMARKS)
    assert any("b.mp4 was cut off" in text and "of its 60 frames are missing" in text for text in out.warnings)


SCAN = """
import sys
from pathlib import Path
from pipelines.capture import frames
from pipelines.capture.footage.source import open_footage
from pipelines.capture.frames.extract import FrameSettings
from pipelines.core.stage import Silent

clip, folder = map(Path, sys.argv[1:])
found = frames.scan(folder, open_footage([clip], 1920), FrameSettings(max_samples=200), Silent())
most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(found["looked_at"], found["last_index"], most)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path: Path) -> None:
    """Ten and eighty minutes of the same small pictures, looked at in 200 places."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    from imageio_ffmpeg import get_ffmpeg_exe

    write_video(tmp_path / "part.mp4", demo(list(range(0, 500, 2)), 160), 25)
    found = []
    for times in (60, 480):
        clip, listing = tmp_path / f"{times}.mp4", tmp_path / "list.txt"
        listing.write_text(f"file '{tmp_path / 'part.mp4'}'\n" * times)
        join = ["-f", "concat", "-safe", "0", "-i", str(listing), "-c", "copy", str(clip)]
        subprocess.run([get_ffmpeg_exe(), "-v", "error", *join], check=True)
        done = subprocess.run(
            [sys.executable, "-c", SCAN, str(clip), str(tmp_path)], capture_output=True, text=True, check=True
        )
        found.append([int(value) for value in done.stdout.split()])
    (looks, last, short), (more, end, long) = found
    assert 190 <= looks <= 201 and 190 <= more <= 201 and end > 7 * last > 100_000
    assert long < 1.1 * short and long < 900_000
