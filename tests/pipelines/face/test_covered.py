"""Parts of a face that something covers."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.core.stage import Silent
from pipelines.drive.motion.track import cautions, seen_beside, states, track_video
from pipelines.drive.settings import TrackSettings
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.covered import (
    AFTER,
    BEFORE,
    LEAST_ROWS,
    PART_PX,
    WITHOUT_EYES,
    _affine_camera,
    _means,
    covered_eyes,
    covered_mouths,
    part_pictures,
)
from pipelines.media.encoder import write_video
from pipelines.media.video import probe, read_frames
from tests.material import shared

SIDE = PART_PX**2
LIT = [0.7, 0.15, 0.7, 0.15]


def pictures(part: str, count: int, noise: float = 0.4, seed: int = 0) -> np.ndarray:
    """[T,N] of a person whose mouth or eye is the mean one of synthetic people but for a third, shut or open."""
    rng = np.random.default_rng(seed)
    own = 0.5 * np.random.default_rng(7).standard_normal(SIDE)
    return normal(_means()[part][1] + own + noise * rng.standard_normal((count, SIDE)))


def things(count: int, seed: int, noise: float = 0.3) -> np.ndarray:
    """[T,N] of a thing before the part."""
    rng = np.random.default_rng(seed)
    return normal(rng.standard_normal(SIDE) + noise * rng.standard_normal((count, SIDE)))


def normal(rows: np.ndarray) -> np.ndarray:
    return ((rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("hidden", [20, 70])
def test_a_mouth_that_is_gone_for_a_while_is_covered(hidden: int):
    rows = np.concatenate([pictures("mouth", 30), things(hidden, 3), pictures("mouth", 30, seed=2)])
    pale, red, shut, front = (np.full(len(rows), value) for value in (0.0, 4.0, 0.0, 0.0))
    found = covered_mouths(rows, pale, shut, front, 25)
    assert np.flatnonzero(found).tolist() == list(range(30 - BEFORE, 30 + hidden + AFTER))
    assert not covered_mouths(rows, red, shut, front, 25).any(), "lips are seen"
    assert not covered_mouths(rows, pale, shut + 0.7, front, 25).any(), "open wide"
    assert covered_mouths(rows, pale, shut, front + 30, 25).sum() == found.sum()
    assert not covered_mouths(rows, pale, shut, front + 45, 25).any(), "seen too far aslant"


def test_a_mouth_that_is_always_or_never_covered():
    pale, shut, front = np.zeros(80), np.zeros(80), np.zeros(80)
    assert not covered_mouths(pictures("mouth", 80), pale, shut, front, 25).any()
    assert covered_mouths(things(80, 1), pale, shut, front, 25).all(), "a mask"
    assert not covered_mouths(np.zeros((80, SIDE), np.float32), pale, shut, front, 25).any(), "a film that shows nothing"


def test_an_even_card_covers_what_was_seen_before():
    rows = np.concatenate([pictures("mouth", 30), np.zeros((20, SIDE), np.float32)])
    zero = np.zeros(50)
    assert np.flatnonzero(covered_mouths(rows, zero, zero, zero, 25)).tolist() == list(range(30 - BEFORE, 50))


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)])
def test_eyes_behind_hair_or_a_hand_are_covered_and_lids_that_fall_are_not(sides: tuple[int, ...]):
    rows = np.stack([pictures("eye", 90), pictures("eye", 90, seed=1)], 1)
    rows[70:76] = normal(_means()["eye"][0] + 0.5 * np.random.default_rng(7).standard_normal((6, 2, SIDE)))[:, :, :]
    light = np.tile(LIT, (90, 1))
    for side in sides:
        rows[40:60, side] = things(20, 5 + side)
    assert not covered_eyes(light, rows, np.zeros(90), 25).any(), "another look in the same light"
    for side in sides:
        light[40:60, 2 - 2 * side : 4 - 2 * side] *= (1.1, 0.3)
    found = covered_eyes(light, rows, np.zeros(90), 25)
    assert np.flatnonzero(found[:66]).tolist() == list(range(40 - BEFORE, 60 + AFTER)) and not found[80:].any()


def test_dark_even_eyes_are_covered():
    rows, front = np.stack([pictures("eye", 10), pictures("eye", 10, seed=1)], 1), np.zeros(10)
    dark, lit = np.tile([0.1, 0.01, 0.1, 0.01], (10, 1)), np.tile(LIT, (10, 1))
    assert covered_eyes(dark, rows, front, 25).all() and not covered_eyes(lit, rows, front, 25).any()
    assert not covered_eyes(np.zeros((10, 4)), np.zeros((10, 2, SIDE), np.float32), front, 25).any()


def test_rows_in_which_something_comes_or_goes_are_covered_too():
    dark = np.array([LIT] * 20 + [[0.1, 0.01, 0.1, 0.01]] * LEAST_ROWS + [LIT] * 20)
    nothing = np.zeros((len(dark), 2, SIDE), np.float32)
    found = np.flatnonzero(covered_eyes(dark, nothing, np.zeros(len(dark)), 25))
    assert list(found) == list(range(20 - BEFORE, 20 + LEAST_ROWS + AFTER)) and BEFORE > AFTER


def test_a_part_is_placed_without_points_that_stick_out():
    canonical = canonical_landmarks()
    true = np.array([[900.0, 40.0], [-30.0, -880.0], [300.0, 90.0], [128.0, 120.0]])
    placed = np.column_stack([canonical, np.ones(len(canonical))]) @ true
    placed[WITHOUT_EYES[3]] += 40
    found = _affine_camera(canonical, placed, WITHOUT_EYES)
    assert np.abs(np.column_stack([canonical, np.ones(len(canonical))]) @ (found - true)).max() < 4
    flat = np.full((256, 256, 3), 90, np.uint8)
    assert not part_pictures(flat, np.column_stack([placed, np.zeros(len(placed))]), canonical).any()


def hand(side: int) -> np.ndarray:
    """bool [side,side]: four fingers upright and the back of a hand; and how bright [side,side] it is."""
    y, x = np.mgrid[:side, :side] / side
    fingers = np.any([(abs(x - at) < 0.1) & (y > 0.05) & (y < 0.7) for at in (0.14, 0.38, 0.62, 0.86)], axis=0)
    gaps = sum(np.exp(-np.square((x - at) / 0.015)) for at in (0.26, 0.5, 0.74)) * (y < 0.7)
    return np.dstack([fingers | (y > 0.6), 1 - 0.2 * (x - 0.5) - 0.35 * gaps])


@pytest.mark.parametrize(
    ("part", "top", "said"), [("eyes", 60, "eyes are not seen (a hand"), ("mouth", 138, "mouth is covered")]
)
def test_a_hand_that_comes_and_goes_holds_what_it_covers(tmp_path: Path, part: str, top: int, said: str):
    frames = read_frames(shared("clips/drive_singing.mp4"), indices=set(range(125, 185)), longest_side_px=256)
    before = hand(110)

    def filmed() -> list[np.ndarray]:
        pictures = [frame.image.copy() for frame in frames]
        for number, image in enumerate(pictures):
            height = top + round(max(0, 22 - number, number - 44) * 50)  # it comes from below within 3 frames
            part = before[: max(0, min(110, 256 - height))]
            there, shade = part[..., 0] > 0, part[..., 1, None]
            place = image[height : height + len(part), 73:183]
            place[there] = (shade * (150, 98, 76))[there]
        return pictures

    write_video(tmp_path / "a.mp4", iter(filmed()), 25)
    track = track_video(
        probe(tmp_path / "a.mp4"), "measured", canonical_landmarks(), TrackSettings(), tmp_path / "chunks", Silent()
    )
    column = ("mouth", "eyes").index(part)
    assert track.covered[23:44, column].mean() > 0.9 and not track.covered[:15].any() and not track.covered[52:].any()
    assert any(said in line for line in cautions(track, seen_beside(tmp_path / "chunks")))
    assert states(track, 0.5)[30] == f"{part} covered"
    moved = ("jawOpen",) if part == "mouth" else ("eyeBlinkLeft", "eyeBlinkRight")
    for name in moved:
        assert np.abs(np.diff(track.expression[18:50, track.names.index(name)])).max() < 0.25
