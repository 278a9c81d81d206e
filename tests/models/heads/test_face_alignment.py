import torch

from models.heads.face3dmm import SIZE
from models.heads.face_alignment import (
    RECOGNITION_POINTS,
    cropped_by,
    five_points,
    moved,
    recognition_crop,
    similarity,
    weak_perspective,
)
from tests.faceshop_goldens import golden
from tests.reference import compare, largest_difference


def test_points_and_fits_are_the_official_ones() -> None:
    official = golden("12_alignment")
    five = five_points(official["lm68"])
    target = five * 512 / SIZE
    target = torch.stack([target[:, 0], 511 - target[:, 1]], -1)
    matrix = similarity(official["img5_rowdown"][None], target[None])
    there = moved(official["img5_rowdown"][None], matrix)[0]
    scale, shift = weak_perspective(official["img5_yup"], official["lm3d5"])
    ours = {
        "five_from_68": five, "align_M_2x3": matrix[0], "pos_s": scale, "pos_t": shift[:, None],
        "aligned5_yup": torch.stack([there[:, 0], 511 - there[:, 1]], -1),
    }  # fmt: skip
    compare(ours, {name: official[name] for name in ours}, 1e-5)


def test_a_similarity_is_found_again() -> None:
    quarter = similarity(torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[2.0, 1.0], [2.0, 3.0]]]))
    assert largest_difference(quarter, torch.tensor([[[0.0, -2.0, 2.0], [2.0, 0.0, 1.0]]])) < 1e-6


def test_a_crop_shows_pixels_where_the_matrix_takes_them() -> None:
    image = torch.zeros(1, 1, 20, 30)
    image[..., 6, 10] = 1.0
    crop = cropped_by(image, torch.tensor([[[2.0, 0.0, -10.0], [0.0, 2.0, -4.0]]]), 16)
    assert crop.shape == (1, 1, 16, 16)
    peak = int(crop.flatten().argmax())
    assert (peak % 16, peak // 16) == (10, 8)


def test_a_face_is_cropped_to_the_recognizers_points() -> None:
    points = torch.tensor(RECOGNITION_POINTS)
    landmarks = torch.zeros(1, 68, 2)
    for rows, point in zip(((36, 39), (42, 45), (30,), (48,), (54,)), points, strict=True):
        landmarks[:, list(rows)] = 2 * point + 3
    image = torch.rand(1, 3, 240, 240).requires_grad_()
    crop = recognition_crop(image, landmarks)
    crop.sum().backward()
    assert crop.shape == (1, 3, 112, 112) and image.grad is not None and image.grad.any()
    same = recognition_crop(image, landmarks / 2 - 1.5)
    assert largest_difference(same[..., :50, :50], image[..., :50, :50]) < 1e-4
