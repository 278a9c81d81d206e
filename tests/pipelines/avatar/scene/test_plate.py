"""What is behind the person comes back: from other frames where they show it, also under a camera that moves."""

import cv2
import numpy as np
import pytest

from pipelines.avatar.scene.plate import Look, clean_plate

HEIGHT, WIDTH = 180, 240


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    random = np.random.default_rng(0)
    rough = cv2.resize(random.integers(40, 220, (24, 32, 3)).astype(np.float32), (WIDTH + 60, HEIGHT + 60))
    for _ in range(60):
        x, y = random.integers(0, WIDTH + 30), random.integers(0, HEIGHT + 30)
        cv2.rectangle(rough, (int(x), int(y)), (int(x) + 14, int(y) + 10), random.integers(0, 255, 3).tolist(), -1)
    return np.round(rough).astype(np.uint8)


def look(room: np.ndarray, person_x: int, shift: int = 0, light: int = 0) -> Look:
    """A person 40 px wide before the room, in a camera moved by `shift` px."""
    matte = np.zeros((HEIGHT, WIDTH), np.uint8)
    matte[60:, person_x : person_x + 40] = 255
    view = room[20 + shift : 20 + shift + HEIGHT, 20 + shift : 20 + shift + WIDTH].astype(int) + light
    return Look(image=np.where(matte[..., None] > 0, (200, 30, 30), view.clip(0, 255)).astype(np.uint8), matte=matte)


def test_a_place_that_other_frames_show_is_what_they_show(room: np.ndarray) -> None:
    base, truth = look(room, 100), room[20 : 20 + HEIGHT, 20 : 20 + WIDTH].astype(int)
    plate, filmed = clean_plate(base, [look(room, x) for x in (20, 30, 160, 180)])
    assert filmed > 0.9
    assert np.abs(plate - truth).mean() < 1.5 and np.abs(plate - truth)[60:, 100:140].mean() < 4
    assert np.array_equal(plate[:50], base.image[:50]), "where nobody is the plate is the film"


def test_a_hand_held_camera_is_followed(room: np.ndarray) -> None:
    truth = room[20 : 20 + HEIGHT, 20 : 20 + WIDTH].astype(int)
    plate, filmed = clean_plate(look(room, 100), [look(room, x, shift) for x, shift in ((20, 7), (180, -6), (170, 4))])
    assert filmed > 0.8 and np.abs(plate - truth)[70:170, 104:136].mean() < 12


def test_other_light_is_brought_to_the_bases(room: np.ndarray) -> None:
    truth = room[20 : 20 + HEIGHT, 20 : 20 + WIDTH].astype(int)
    plate, _ = clean_plate(look(room, 100), [look(room, x, light=-25) for x in (20, 180, 170)])
    assert abs((plate - truth)[70:170, 104:136].mean()) < 6


def test_what_nobody_filmed_is_filled_from_around(room: np.ndarray) -> None:
    base = look(room, 100)
    plate, filmed = clean_plate(base, [base])
    assert filmed == 0 and np.abs(plate[100, 120].astype(int) - (200, 30, 30)).max() > 40
