import torch

from models.training.flow import moved_by
from tests.faceshop_goldens import golden
from tests.reference import largest_difference


def test_a_picture_is_moved_as_officially() -> None:
    official = golden("11_dense_warp")
    assert largest_difference(moved_by(official["image"], official["flow_row_col"]), official["out"]) < 1e-5


def test_whole_pixels_move_pixels() -> None:
    image = torch.arange(20.0).view(1, 1, 4, 5)
    flow = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(-1, -1, 4, 5)
    moved = moved_by(image, flow)
    assert moved[0, 0, 1:, :3].tolist() == image[0, 0, :-1, 2:].tolist()
    assert moved[0, 0, 0, 4] == image[0, 0, 0, 4], "beyond the border is the border"
