"""Clips, photos and frames with cameras become alike; folders that are neither are refused in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.capture.dataset.records import split, split_stills
from pipelines.capture.footage import transforms_json
from pipelines.capture.footage.source import _sides, open_footage, placed
from pipelines.capture.footage.transforms_json import meeting_points
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.media import photos
from pipelines.media.encoder import write_video

ORIENTATION, FOCAL_35MM, EXIF_IFD = 0x0112, 0xA405, 0x8769


def picture(width: int = 80, height: int = 60, shade: int = 90) -> np.ndarray:
    """Dark, with a red corner at the upper left."""
    image = np.full((height, width, 3), shade, np.uint8)
    image[: height // 3, : width // 3] = (230, 20, 20)
    return image


def photo(path: Path, image: np.ndarray, orientation: int = 1, focal_35mm: float = 0) -> Path:
    """`image` as a camera stores it that was held so that it needs this EXIF orientation."""
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda a: a, 3: lambda a: np.rot90(a, 2), 6: lambda a: np.rot90(a, 1), 8: lambda a: np.rot90(a, -1),
        2: lambda a: a[:, ::-1],
    }  # fmt: skip
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if focal_35mm:
        exif.get_ifd(EXIF_IFD)[FOCAL_35MM] = int(focal_35mm)
    Image.fromarray(np.ascontiguousarray(undo[orientation](image))).save(path, quality=95, exif=exif)
    return path


def clip(path: Path, count: int, width: int = 64, height: int = 48, rate: float = 10, shade: int = 0) -> Path:
    write_video(path, (np.full((height, width, 3), shade + 4 * index, np.uint8) for index in range(count)), rate)
    return path


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 8])
def test_photos_are_upright(tmp_path: Path, orientation: int) -> None:
    footage = open_footage([photo(tmp_path / "a.jpg", picture(), orientation).parent], 1920)
    image = next(footage.frames()).image
    assert image.shape == (60, 80, 3) and np.abs(image.astype(int) - picture()).mean() < 3


def test_the_focal_length_of_exif_is_used(tmp_path: Path) -> None:
    """26 mm of 4:3 is 0.751 of the longer side; a picture taken at 52 mm is shown at half the size."""
    photo(tmp_path / "a.jpg", picture(), focal_35mm=26)
    photo(tmp_path / "b.jpg", picture(), focal_35mm=52)
    photo(tmp_path / "c.jpg", picture())
    footage = open_footage([tmp_path], 1920)
    assert [part.longest_px for part in footage.parts][:2] == [80, 40]
    assert footage.info.focal_px == pytest.approx(0.751 * 80, rel=0.01)
    frames = [frame.image for frame in footage.frames()]
    assert {image.shape for image in frames} == {(60, 80, 3)}
    assert frames[1][0].max() == 0 and frames[1][20, 30, 0] > 150
    assert [frame.index for frame in footage.frames(indices={2})] == [2]


def test_upright_and_lying_photos_share_a_canvas_with_the_axis_in_the_middle(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", picture(80, 60))
    photo(tmp_path / "b.png", picture(60, 80))
    frames = [frame.image for frame in open_footage([tmp_path], 40).frames()]
    assert [image.shape for image in frames] == [(40, 40, 3)] * 2
    assert frames[0][:4].max() == 0 and frames[0][6:].max() > 0 and frames[1][:, :4].max() == 0


def test_transparent_deep_and_gray_pictures(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([picture(), np.zeros((60, 80), np.uint8)])).save(tmp_path / "clear.png")
    Image.fromarray(np.full((60, 80), 0x4000, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((60, 80), 77, np.uint8)).save(tmp_path / "gray.png")
    means = [photos.read(tmp_path / f"{name}.png").mean() for name in ("clear", "deep", "gray")]
    assert means == pytest.approx([128, 64, 77])


def test_junk_beside_photos_is_left_out_and_named(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", picture())
    (tmp_path / ".DS_Store").write_bytes(b"1")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "b.dng").write_bytes(b"1")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    (tmp_path / "more").mkdir()
    footage = open_footage([tmp_path], 1920)
    assert len(footage.parts) == 1 and list(footage.inputs) == ["photo a.jpg"]
    assert len(footage.remarks) == 2 and "cut.jpg cannot be read" in footage.remarks[0]
    assert "b.dng, notes.txt are not photos" in footage.remarks[1] and "JPEG" in footage.remarks[1]


def test_folders_without_photos_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    empty, junk, raw, broken, clips = (tmp_path / name for name in ("empty", "junk", "raw", "broken", "clips"))
    for folder in (empty, junk, raw, broken, clips):
        folder.mkdir()
    (junk / "a.txt").write_text("x")
    (raw / "IMG_1.DNG").write_bytes(b"x")
    (clips / "a.mp4").write_bytes(b"x")
    (broken / "a.jpg").write_text("x")
    for folder, words in ((empty, "is empty; put"), (junk, r"holds no photos \(a.txt\)"), (raw, "export them as JPEG"),
                          (broken, "none of the photos in .*a.jpg is missing or not an image; copy it again"),
                          (clips, r"holds clips \(a.mp4\); give the clips themselves")):  # fmt: skip
        with pytest.raises(UnusableMaterial, match=words):
            open_footage([folder], 1920)
    with pytest.raises(SettingError, match="is a folder: give a single folder"):
        open_footage([empty, junk], 1920)
    with pytest.raises(UnusableMaterial, match="does not exist"):
        open_footage([tmp_path / "none.mp4"], 1920)


def test_clips_run_on_with_one_clock_and_one_numbering(tmp_path: Path) -> None:
    footage = open_footage([clip(tmp_path / "a.mp4", 6), clip(tmp_path / "b.mp4", 5, shade=100)], 1920)
    frames = list(footage.frames())
    assert [frame.index for frame in frames] == list(range(11))
    assert [frame.time_s for frame in frames[5:7]] == pytest.approx([0.5, 0.6 + 10.0])
    assert frames[6].image.mean() > 90 and list(footage.clip_of(np.array([0, 5, 6, 10]))) == [0, 0, 1, 1]
    assert [frame.index for frame in footage.frames(indices={2, 7})] == [2, 7]
    assert footage.info.frames == 11 and list(footage.inputs) == ["video 1", "video 2"]
    assert [source["file_name"] for source in footage.sources] == ["a.mp4", "b.mp4"]


def test_clips_of_different_size_get_one_focal_length(tmp_path: Path) -> None:
    footage = open_footage([clip(tmp_path / "a.mp4", 2, 64, 48), clip(tmp_path / "b.mp4", 2, 48, 96)], 1920)
    frames = list(footage.frames())
    assert footage.info.size == (96, 96) and {frame.image.shape for frame in frames} == {(96, 96, 3)}
    assert _sides(1000, [1.0, 1.25, None]) == [1000, 800, 889]


def test_one_clip_is_not_touched_and_one_given_twice_is_refused(tmp_path: Path) -> None:
    one = clip(tmp_path / "a.mp4", 2)
    footage = open_footage([one], 1920)
    assert footage.info.size == (64, 48) and list(footage.inputs) == ["video"]
    (tmp_path / "copy.mp4").write_bytes(one.read_bytes())
    with pytest.raises(SettingError, match="are the same clip"):
        open_footage([one, tmp_path / "copy.mp4"], 1920)


def test_photos_between_clips_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.jpg").touch()
    with pytest.raises(SettingError, match=r"b\.jpg is a photo, but not all"):
        open_footage([tmp_path / "a.mp4", tmp_path / "b.jpg"], 1920)


def test_pictures_in_the_middle_of_a_canvas() -> None:
    assert np.array_equal(placed(picture(), 80, (80, 60)), picture())
    inside = placed(picture(), 80, (100, 100))
    assert np.array_equal(inside[20:80, 10:90], picture()) and inside[:20].max() == 0
    assert placed(picture(60, 80), 80, (80, 60)).shape == (60, 80, 3)


def test_every_clip_holds_out_its_own_end() -> None:
    times = np.concatenate([np.arange(10), 100 + np.arange(20)]).astype(float)
    kinds, starts = split(times, 0.2, np.repeat([0, 1], [10, 20]))
    assert starts == pytest.approx([7.2, 115.2]) and list(np.flatnonzero(kinds == "test")) == [8, 9, 26, 27, 28, 29]
    assert list(np.flatnonzero(split_stills(14, 0.15) == "test")) == [3, 10]


def frames_of(folder: Path, count: int = 3, **top: object) -> dict:
    """A record of `count` pictures 80x60 that look along -z from different places."""
    poses = [np.eye(4) for _ in range(count)]
    for number, pose in enumerate(poses):
        pose[0, 3] = number
        photo(folder / f"{number}.png", picture())
    named = [{"file_path": f"./{number}", "transform_matrix": pose.tolist()} for number, pose in enumerate(poses)]
    return {"camera_angle_x": 2 * np.arctan(0.4), **top, "frames": named}


def written(folder: Path, record: object) -> Path:
    (folder / "transforms.json").write_text(json.dumps(record))
    return folder


def test_cameras_of_the_nerf_tools(tmp_path: Path) -> None:
    """OpenGL axes become OpenCV's; 80 px seen under 2 atan(0.4) have a focal length of 100 px."""
    footage = open_footage([written(tmp_path, frames_of(tmp_path))], 1920)
    assert footage.kind == "given" and footage.info.focal_px == pytest.approx(100)
    assert np.allclose(footage.views[1].world_from_camera, np.diag([1, -1, -1, 1]) + np.eye(4, k=3) * np.eye(4)[0][:, None])
    assert np.abs(next(footage.frames()).image.astype(int) - picture()).max() == 0
    assert set(footage.inputs) >= {"cameras", "frame 0 0.png"}


def test_lens_and_axis_are_undone_when_a_picture_is_read(tmp_path: Path) -> None:
    """A dot drawn where a distorting, off-center lens shows a ray appears where the ideal camera has it."""
    import cv2

    matrix = np.array([[110.0, 0, 47], [0, 104.0, 25], [0, 0, 1]])
    lens, ray = np.array([0.12, -0.03, 0.002, -0.001, 0.0]), np.array([[[0.12, -0.1, 1.0]]])
    x, y = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), matrix, lens)[0].ravel()
    across, down = np.meshgrid(np.arange(80) + 0.5, np.arange(60) + 0.5)
    dot = 255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)
    names = dict(zip(transforms_json.LENS, lens.tolist(), strict=True))
    record = frames_of(tmp_path, 1, fl_x=110, fl_y=104, cx=47, cy=25, w=80, h=60, **names)
    Image.fromarray(np.repeat(dot[..., None], 3, 2).astype(np.uint8)).save(tmp_path / "0.png")
    image = next(open_footage([written(tmp_path, record)], 1920).frames()).image[..., 0].astype(float)
    found = np.array([(image * across).sum(), (image * down).sum()]) / image.sum()
    assert found == pytest.approx([40 + 110 * 0.12, 30 - 110 * 0.1], abs=0.15)


def test_intrinsics_of_each_frame_and_pictures_made_smaller(tmp_path: Path) -> None:
    record = frames_of(tmp_path, 2)
    del record["camera_angle_x"]
    for frame in record["frames"]:
        frame |= {"fl_x": 400.0, "fl_y": 400.0, "cx": 160.0, "cy": 120.0, "w": 320, "h": 240}
    views, size, focal = transforms_json.read(written(tmp_path, record) / "transforms.json", 1920)
    assert size == (80, 60) and focal == pytest.approx(100) and np.allclose(views[0].matrix[:2, 2], [40, 30])
    assert transforms_json.read(tmp_path / "transforms.json", 40)[1:] == ((40, 30), pytest.approx(50))


def changed(record: dict, **first: object) -> dict:
    record["frames"][0] |= first
    return record


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: {**r, "frames": []}, "lists no frames"),
        (lambda r: [1], "a table belongs"),
        (lambda r: {key: value for key, value in r.items() if key != "camera_angle_x"}, "no focal length"),
        (lambda r: changed(r, file_path="gone.png"), r"pictures that do not exist: gone.png;"),
        (lambda r: changed(r, file_path=None), "frame 0 .* has no file_path"),
        (lambda r: changed(r, transform_matrix=np.zeros((4, 4)).tolist()), "0.png .* cannot be inverted"),
        (lambda r: changed(r, transform_matrix=np.diag([1, 1, -1, 1]).tolist()), "mirrors or shears"),
        (lambda r: changed(r, transform_matrix=[[1, 2], [3, 4]]), "not a 4x4 matrix"),
        (lambda r: changed(r, transform_matrix="junk"), "not a 4x4 matrix"),
        (lambda r: changed(r, transform_matrix=np.full((4, 4), np.nan).tolist()), "not a 4x4 matrix"),
        (lambda r: {**r, "camera_model": "OPENCV_FISHEYE"}, "fisheye"),
        (lambda r: {**r, "fl_x": -3}, "which no camera has"),
    ],
)
def test_what_is_wrong_with_given_cameras_is_said(tmp_path: Path, change: Callable[[dict], object], words: str) -> None:
    with pytest.raises(UnusableMaterial, match=words):
        open_footage([written(tmp_path, change(frames_of(tmp_path)))], 1920)


def test_a_record_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(UnusableMaterial, match="not valid JSON"):
        open_footage([tmp_path], 1920)


def test_rays_meet_where_the_points_are_in_spite_of_wrong_ones() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (20, 3))
    poses = np.tile(np.eye(4), (12, 1, 1))
    poses[:, :3, 3] = [*np.stack([np.linspace(-3, 3, 12), np.zeros(12), np.full(12, 8.0)], 1)]
    inside = np.einsum("nij,vj->nvi", poses[:, :3, :3], points) + poses[:, None, :3, 3]
    seen = 500 * inside[..., :2] / inside[..., 2:] + (320, 240) + rng.normal(0, 0.2, (12, 20, 2))
    seen[3] += 60
    found = meeting_points(poses, seen, 500.0, (640, 480), np.ones(12))
    assert np.abs(found - points).max() < 0.05


def test_a_films_own_transparency_comes_with_its_frames(tmp_path: Path) -> None:
    import subprocess

    from imageio_ffmpeg import get_ffmpeg_exe

    path = tmp_path / "cut_out.webm"
    half = "format=rgba,geq=r=255:g=0:b=0:a='255*lt(X,W/2)',format=yuva420p"
    made = ["-f", "lavfi", "-i", "color=red:s=64x48:r=25:d=0.2", "-vf", half, "-c:v", "libvpx-vp9", "-auto-alt-ref", "0"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *made, str(path)], check=True)
    frame = next(open_footage([path], 32).frames())
    assert frame.alpha is not None and frame.alpha.shape == frame.image.shape[:2] == (24, 32)
    assert frame.alpha[:, :12].min() > 240 and frame.alpha[:, 20:].max() < 16
