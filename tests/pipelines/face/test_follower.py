"""Who is followed: the first person, across cuts, losses and others who come near; and what lies before a face."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.stage import Silent
from pipelines.drive.motion.track import cautions, filled, seen_beside, states, track_video
from pipelines.drive.settings import TrackSettings
from pipelines.face.follower import Follower, Memory
from pipelines.face.track import Track
from pipelines.face.tracker import FaceLandmarks
from pipelines.geometry.filters import by_shots
from pipelines.media.video import probe
from tests.material import shared
from tests.pipelines.media.test_containers import ffmpeg

CANONICAL = np.array(load_prior("quick").landmarks, np.float64)
SIZE = 200


def drawn(people: list[tuple[int, float]], ground: int = 0) -> np.ndarray:
    """A room with heads of a person's colors and patterns: `people` are numbers and places from left to right, 0..1."""
    y, x = np.mgrid[:SIZE, : 2 * SIZE]
    room = 90 + 50 * np.sin(x / (17 + 9 * ground)) + 40 * np.cos(y / (13 + 5 * ground))
    image = np.dstack([room] * 3)
    for number, place in people:
        inside = ((x - 2 * SIZE * place) / 60) ** 2 + ((y - SIZE / 2) / 80) ** 2 < 1
        look = 150 + 50 * np.sin((x - 2 * SIZE * place) / (6 + 5 * number)) * np.cos(y / (9 + 4 * number))
        image[inside] = (look[..., None] * (1.0, 0.8 - 0.2 * number, 0.5 + 0.3 * number))[inside]
    return np.clip(image, 0, 255).astype(np.uint8)


def face_at(place: float) -> FaceLandmarks:
    flat = CANONICAL * (1, -1, -1)
    points = flat / np.ptp(flat[:, 1]) * 150 + (2 * SIZE * place, SIZE / 2, 0)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return FaceLandmarks(points.astype(np.float32), (low[0], low[1], high[0], high[1]))


class Told:
    """A tracker that is told where faces are; the first is the one it sees."""

    def __init__(self) -> None:
        self.places: list[float] = []
        self.restarts = 0

    def track(self, image: np.ndarray) -> FaceLandmarks | None:
        return face_at(self.places[0]) if self.places else None

    def others(self, image: np.ndarray, face: FaceLandmarks) -> list[FaceLandmarks]:
        return [face_at(place) for place in self.places[1:]]

    def look_at(self, image: np.ndarray, box: tuple[float, float, float, float]) -> FaceLandmarks | None:
        place = (box[0] + box[2]) / 4 / SIZE
        self.places.sort(key=lambda one: abs(one - place))
        return face_at(self.places[0])

    def restart(self) -> None:
        self.restarts += 1


def test_a_cut_to_another_person_is_no_motion_of_the_first_one():
    tracker = Told()
    follower = Follower(tracker, CANONICAL)
    seen = []
    for number in (0, 1, 0):
        for _ in range(15):
            tracker.places = [0.5]
            seen.append(follower.track(drawn([(number, 0.5)], ground=number)))
    assert [one.face is not None for one in seen] == [True] * 15 + [False] * 15 + [True] * 15
    assert [one.stranger for one in seen] == [False] * 15 + [True] * 15 + [False] * 15
    assert [row for row, one in enumerate(seen) if one.cut] == [15, 30] and tracker.restarts == 2


def test_the_person_is_found_beside_somebody_else_after_a_cut():
    tracker = Told()
    follower = Follower(tracker, CANONICAL)
    tracker.places = [0.25]
    first = [follower.track(drawn([(0, 0.25)])) for _ in range(5)]
    tracker.places = [0.7, 0.25]  # the tracker sees the other one
    both = follower.track(drawn([(1, 0.7), (0, 0.25)], ground=2))
    assert first[-1].face is not None and both.face is not None and both.cut
    assert both.face.box[0] < SIZE / 2


def test_somebody_who_passes_before_the_person_does_not_drive_for_a_frame():
    """The tracker slides onto the other one, who is larger, between two looks."""
    tracker = Told()
    follower = Follower(tracker, CANONICAL)
    seen = []
    for number, place in [(0, 0.25)] * 13 + [(1, 0.45)] * 6 + [(0, 0.25)] * 8:
        tracker.places = [place]
        seen.append(follower.track(drawn([(number, place)])))
    assert [one.face is not None for one in seen[:19]] == [True] * 13 + [False] * 6
    assert all(one.stranger for one in seen[13:19]) and seen[-1].face is not None


def test_black_between_two_shots_changes_nothing():
    tracker = Told()
    follower = Follower(tracker, CANONICAL)
    for number, places in ((0, [0.5]), (None, []), (1, [0.5]), (None, []), (0, [0.5])):
        for _ in range(4):
            tracker.places = places
            image = drawn([(number, 0.5)]) if number is not None else np.zeros((SIZE, 2 * SIZE, 3), np.uint8)
            seen = follower.track(image)
        assert (seen.face is not None) == (number == 0) and seen.stranger == (number == 1)


def test_what_is_known_goes_from_one_stretch_of_frames_to_the_next():
    tracker, memory = Told(), Memory()
    tracker.places = [0.25]
    for _ in range(5):
        Follower(tracker, CANONICAL, memory).track(drawn([(0, 0.25)]))
    again = Memory.of_arrays(memory.arrays())
    tracker.places = [0.7, 0.25]
    seen = Follower(tracker, CANONICAL, again).track(drawn([(1, 0.7), (0, 0.25)]))
    assert seen.face is not None and seen.face.box[0] < SIZE / 2 and again.box == pytest.approx(seen.face.box)


def test_nothing_glides_over_a_cut():
    times, values = np.arange(12) / 10, np.array([0.0] * 4 + [9.0] * 4 + [1.0] * 4)
    good, shots = np.array([1] * 4 + [0] * 4 + [1] * 4, bool), np.repeat([0, 1, 2], 4)
    held = filled(times, values, good, 0.5, shots)
    assert np.array_equal(held, [0.0] * 8 + [1.0] * 4)
    assert 0 < filled(times, values, good, 0.5)[6] < 1
    smooth = by_shots(lambda part: np.full_like(part, part.mean()), values[:, None], shots)
    assert np.array_equal(smooth[:, 0], values)
    track = Track(
        space="measured", names=("a",), rate_hz=10.0, times_s=times, expression=values[:, None],
        world_from_head=np.zeros((12, 4, 4)),
        confidence=good.astype(float), valid=good, shot=shots,
    )  # fmt: skip
    assert states(track, 0.5) == ["tracked"] * 4 + ["held"] * 4 + ["tracked"] * 4


def followed(path: Path, folder: Path, chunk: int) -> tuple[Track, list[str]]:
    track = track_video(probe(path), "measured", CANONICAL, TrackSettings(chunk=chunk), folder, Silent())
    return track, cautions(track, seen_beside(folder))


def test_an_interview_is_driven_by_the_first_person(tmp_path: Path):
    """A, B and A again at one place; in stretches of 20 frames, so that B begins one."""
    one, other = shared("clips/drive_singing.mp4"), shared("clips/drive_phone_selfie.mp4")
    ffmpeg("-ss", "5", "-t", "0.8", "-i", one, "-ss", "2", "-t", "0.8", "-i", other, "-ss", "8", "-t", "0.8", "-i", one,
           "-filter_complex", "[0:v]scale=256:256,fps=25[a];[1:v]crop=720:720:0:160,scale=256:256,fps=25[b];"
           "[2:v]scale=256:256,fps=25[c];[a][b][c]concat=3", "-an", tmp_path / "a.mp4")  # fmt: skip
    track, said = followed(tmp_path / "a.mp4", tmp_path / "chunks", 20)
    assert track.valid.tolist() == [True] * 20 + [False] * 20 + [True] * 20
    assert "another person is seen from 0.8 s to 1.6 s" in said[0]
    steps = np.linalg.norm(np.diff(track.world_from_head[:, :3, 3], axis=0), axis=1)
    assert np.all(steps[19:39] == 0)


def test_somebody_who_comes_nearer_does_not_take_over(tmp_path: Path):
    one, other = shared("clips/drive_singing.mp4"), shared("clips/drive_phone_selfie.mp4")
    room = "color=0x606870:s=512x320:r=15[w];[0:v]scale=180:180[a]"
    grows = "[1:v]crop=720:720:0:160,scale=w='120+100*t':h='120+100*t':eval=frame[b]"
    both = "[w][a]overlay=0:100:shortest=1[x];[x][b]overlay=x='512-w':y='320-h'[v]"
    ffmpeg("-ss", "5", "-t", "2", "-i", one, "-ss", "2", "-t", "2", "-i", other, "-filter_complex", f"{room};{grows};{both}",
           "-map", "[v]", "-t", "2", tmp_path / "a.mp4")  # fmt: skip
    track, said = followed(tmp_path / "a.mp4", tmp_path / "chunks", 10)
    assert track.valid.all() and (track.world_from_head[:, 0, 3] < -0.4).all()
    assert "the first person is followed" in said[0]
