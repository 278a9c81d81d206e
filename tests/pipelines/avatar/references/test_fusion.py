"""Filmed frames laid over a render."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.avatar.references.bank import Bank, name_of
from pipelines.avatar.references.choice import Choice
from pipelines.avatar.references.distance import LACKS, REGIONS
from pipelines.avatar.references.flow import chained, flow_between, gray, limited, resized_flow, sized, warped
from pipelines.avatar.references.fusion import Fusion, of_regions, prior_weights, weights, within_alpha
from pipelines.avatar.references.regions import region_masks
from pipelines.core.files import write_image
from pipelines.face.canonical import canonical_landmarks
from pipelines.media.pixels import to_bytes

SMALL, SIZE = 64, 256
MASKS: dict[str, np.ndarray] = {region: np.zeros((SMALL, SMALL), np.float32) for region in REGIONS}


def blobs(size: int, shift: float = 0.0, fine: float = 0.0, seed: int = 0) -> np.ndarray:
    """float32 [size,size,4]: soft blobs inside a disk, `shift` over the side to the right, with `fine` stripes on them."""
    rows, columns = (np.indices((size, size)) + 0.5) / size
    columns = columns - shift
    random, value = np.random.default_rng(seed), np.zeros((size, size))
    for x, y, width, height in random.uniform(0, 1, (40, 4)):
        value += (0.5 + height) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (0.02 + 0.06 * width) ** 2)
    value = 0.2 + 0.5 * value / value.max() + fine * np.sin(2 * np.pi * 24 * (columns + rows))
    alpha = 1 / (1 + np.exp((np.hypot(columns - 0.5, rows - 0.5) - 0.4) * 60))
    return np.dstack([*(alpha * value * tint for tint in (1.0, 0.8, 0.7)), alpha]).astype(np.float32)


def bank_of(folder: Path, films: list[np.ndarray], renders: list[np.ndarray]) -> Bank:
    for index, film in enumerate(films):
        straight = np.dstack([film[..., :3] / np.maximum(film[..., 3:], 1e-4), film[..., 3:]])
        write_image(folder / name_of(index), to_bytes(straight), 95)
    count = len(films)
    return Bank(
        folder=folder, source_index=np.arange(count), expression=np.zeros((count, 27), np.float32),
        world_from_camera=np.tile(np.eye(4), (count, 1, 1)), intrinsics=np.tile(np.eye(3), (count, 1, 1)),
        openings=np.full((count, 3), np.nan), renders=np.stack([to_bytes(render) for render in renders]),
    )  # fmt: skip


def choice_of(count: int, **lack: list[float]) -> Choice:
    zero = np.zeros(count)
    every = {name: np.array(lack.get(name.replace(" ", "_"), zero)) for name in LACKS}
    return Choice(rows=np.arange(count), presence=np.ones(count), lack=every)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).mean()))


def test_flow_finds_a_shift_and_a_warp_undoes_it() -> None:
    first, second = blobs(SIZE), blobs(SIZE, shift=5 / SIZE)
    flow = flow_between(gray(first), gray(second))
    inside = first[..., 3] > 0.99
    assert np.median(flow[inside], axis=0) == pytest.approx([5, 0], abs=0.3)
    assert error(warped(second, flow)[inside], first[inside]) < 0.25 * error(second[inside], first[inside])


def test_flows_are_chained_limited_and_enlarged() -> None:
    right, down = np.zeros((8, 8, 2), np.float32), np.zeros((8, 8, 2), np.float32)
    right[..., 0], down[..., 1] = 2.0, 1.0
    assert np.allclose(chained(right, down), [2, 1])
    assert np.allclose(limited(right, 0.5), [0.5, 0]) and np.allclose(limited(down, 3), down)
    assert np.allclose(resized_flow(right, 16), [4, 0]) and np.allclose(resized_flow(right, 4), [1, 0])


def test_the_detail_of_a_filmed_frame_arrives_where_the_render_is(tmp_path: Path) -> None:
    shift = 3 / SMALL
    film, render = blobs(SIZE, shift=shift, fine=0.1), blobs(SMALL, shift=shift)
    fuse = Fusion(bank=bank_of(tmp_path, [film], [render]), size=SIZE)
    head, truth = blobs(SMALL), blobs(SIZE, fine=0.1)
    fused, share = fuse(head, choice_of(1), MASKS)
    assert share.min() > 0.9
    inside = truth[..., 3] > 0.99
    assert error(fused[inside], truth[inside]) < 0.4 * error(sized(head, SIZE)[inside], truth[inside])


def test_what_the_render_gets_wrong_in_color_is_set_right(tmp_path: Path) -> None:
    film = blobs(SIZE)
    render = within_alpha(blobs(SMALL) * np.array([0.8, 1.0, 1.0, 1.0], np.float32))
    fused, _ = Fusion(bank=bank_of(tmp_path, [film], [render]), size=SIZE)(render, choice_of(1), MASKS)
    inside = film[..., 3] > 0.99
    assert error(fused[inside], film[inside]) < 0.25 * error(sized(render, SIZE)[inside], film[inside])


def test_the_render_keeps_the_picture_where_no_reference_agrees(tmp_path: Path) -> None:
    other = blobs(SIZE, seed=5) * np.array([0.1, 0.1, 0.1, 1], np.float32)
    fuse = Fusion(bank=bank_of(tmp_path, [other], [sized(other, SMALL)]), size=SIZE)
    _, share = fuse(within_alpha(blobs(SMALL) * np.array([2.0, 2.0, 2.0, 1], np.float32)), choice_of(1), MASKS)
    assert share[SIZE // 2, SIZE // 2, 0] < 0.5


def test_the_reference_whose_render_agrees_is_taken(tmp_path: Path) -> None:
    right, wrong = blobs(SIZE, fine=0.1), blobs(SIZE, seed=3)
    bank = bank_of(tmp_path, [wrong, right], [sized(wrong, SMALL), blobs(SMALL)])
    fused, _ = Fusion(bank=bank, size=SIZE)(blobs(SMALL), choice_of(2), MASKS)
    inside = right[..., 3] > 0.99
    assert error(fused[inside], right[inside]) < 0.5 * error(fused[inside], wrong[inside])


def test_in_a_region_the_asked_expression_decides() -> None:
    mask = np.zeros((SMALL, SMALL), np.float32)
    mask[:32] = 1
    prior = prior_weights(choice_of(2, mouth=[0.0, 4.0]), {**MASKS, "mouth": mask})
    shares = weights(np.zeros((2, SMALL, SMALL), np.float32), prior, 1e-3)
    assert shares[:, 0, 0] == pytest.approx([1 / (1 + np.exp(-4)), 1 - 1 / (1 + np.exp(-4))], abs=1e-4)
    assert shares[:, 63, 63] == pytest.approx([0.5, 0.5]) and np.allclose(shares.sum(0), 1)


def test_the_same_frame_gives_the_same_picture(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, [blobs(SIZE, fine=0.1)], [blobs(SMALL)])
    first = Fusion(bank=bank, size=SIZE)(blobs(SMALL, shift=0.02), choice_of(1), MASKS)
    again = Fusion(bank=bank, size=SIZE)(blobs(SMALL, shift=0.02), choice_of(1), MASKS)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


def test_masks_lie_on_their_region() -> None:
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = 0.8
    masks = region_masks(canonical_landmarks(), pose, np.array([[2.5, 0, 0.5], [0, 2.5, 0.5], [0, 0, 1]]), 128)
    rows, columns = np.indices((128, 128))
    middle = {name: (np.average(columns, weights=mask), np.average(rows, weights=mask)) for name, mask in masks.items()}
    assert middle["brows"][1] < middle["left eye"][1] < middle["mouth"][1]
    assert middle["right eye"][0] < middle["mouth"][0] < middle["left eye"][0]
    assert all(mask.max() > 0.9 and mask.mean() < 0.2 for mask in masks.values())


def test_a_region_is_one_frames_and_not_pieces_of_several() -> None:
    errors = np.zeros((2, SMALL, SMALL), np.float32)
    errors[0, :, :32], errors[1, :, 32:] = 0.02, 0.01
    mask = np.zeros((SMALL, SMALL), np.float32)
    mask[16:48, 16:48] = 1
    judged = of_regions(errors, {**MASKS, "mouth": mask})
    shares = weights(judged, np.ones((2, SMALL, SMALL), np.float32), 1e-4)
    assert (shares[1, 16:48, 16:48] > 0.99).all() and np.array_equal(judged[:, :16], errors[:, :16])
