import torch

from models.heads.face3dmm import SIZE, colored
from models.rendering import mesh
from models.rendering.mesh import interpolated, rasterize
from tests.faceshop_goldens import golden, toy_faces, toy_model
from tests.reference import largest_difference

SQUARE = torch.tensor([[1.0, 1.0], [9.0, 1.0], [1.0, 9.0], [9.0, 9.0]])
HALVES = torch.tensor([[0, 1, 2], [1, 3, 2]])


def test_a_face_is_the_reference_renderers() -> None:
    """To half precision, in which the picture is stored; a sliver of a triangle rounds otherwise in one pixel."""
    official, model, faces = golden("09_imitative"), toy_model(), toy_faces([0, 1], [0, 1], [0, 1])
    coefficients = golden("02_face_model")
    fragments = rasterize(faces.pixels, faces.points[..., 2], model.triangles, SIZE)
    colors = colored(model, faces, coefficients["coef_tex"], coefficients["coef_gamma"])
    picture = interpolated(fragments, colors, model.triangles)
    assert torch.equal(fragments.mask.bool(), official["mask_224"])
    truth = official["face_224"].float()
    error = (picture - truth).abs()
    assert error.max() < 2e-3 and (error > 1e-3).sum() <= 3 and error.mean() < 1e-4
    landmarks = faces.pixels[:, model.landmarks]
    up = torch.stack([landmarks[..., 0], SIZE - landmarks[..., 1]], -1)
    assert largest_difference(up, official["face_lm"]) < 1e-4


def test_every_pixel_of_a_square_is_seen_once() -> None:
    fragments = rasterize(SQUARE[None], torch.full((1, 4), 2.0), HALVES, 10)
    assert fragments.mask.sum() == 64 and fragments.mask[0, 0, 1:9, 1:9].all()
    assert largest_difference(fragments.weights.sum(-1), fragments.mask[:, 0]) < 1e-6
    assert largest_difference(fragments.depth, 2 * fragments.mask[:, 0]) < 1e-6
    values = interpolated(fragments, SQUARE[None], HALVES)
    row, column = torch.meshgrid(torch.arange(10) + 0.5, torch.arange(10) + 0.5, indexing="ij")
    inside = fragments.mask[0, 0] > 0
    assert largest_difference(values[0][:, inside], torch.stack([column, row])[:, inside]) < 1e-5


def test_the_nearer_is_seen_whatever_the_order_and_winding() -> None:
    pixels = torch.cat([SQUARE, SQUARE])[None]
    depth = torch.tensor([[3.0] * 4 + [2.0] * 4])
    for far, near in ((HALVES, HALVES + 4), (HALVES.flip(1), (HALVES + 4).flip(1))):
        for triangles in (torch.cat([far, near]), torch.cat([near, far])):
            fragments = rasterize(pixels, depth, triangles, 10)
            assert largest_difference(fragments.depth, 2 * fragments.mask[:, 0]) < 1e-6


def test_shares_are_correct_in_perspective() -> None:
    """Half way in the picture between depths 1 and 3 lies a quarter of the way along the line."""
    pixels, depth = torch.tensor([[[0.0, -20.0], [10.0, -20.0], [5.0, 40.0]]]), torch.tensor([[1.0, 3.0, 1.5]])
    fragments = rasterize(pixels, depth, torch.tensor([[0, 1, 2]]), 10)
    near, far, _ = fragments.weights[0, 0, 4].tolist()
    planar = 0.055, 0.045  # of pixel (4.5, 0.5), before the third corner's share
    assert near / far > 3 * planar[0] / planar[1] * 0.9
    seen = (fragments.weights[0] * depth[0]).sum(-1)
    assert largest_difference(seen, fragments.depth[0]) < 1e-5


def test_behind_the_camera_and_off_the_picture_is_nothing() -> None:
    assert not rasterize(SQUARE[None], torch.tensor([[1.0, -1.0, 1.0, 1.0]]), HALVES, 10).mask.any()
    assert not rasterize(SQUARE[None] + 100, torch.ones(1, 4), HALVES, 10).mask.any()
    flat = torch.tensor([[[1.0, 1.0], [5.0, 5.0], [9.0, 9.0]]])
    assert not rasterize(flat, torch.ones(1, 3), torch.tensor([[0, 1, 2]]), 10).mask.any()


def test_parts_of_the_table_change_nothing(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    model, faces = toy_model(), toy_faces([0], [0], [0])
    whole = rasterize(faces.pixels, faces.points[..., 2], model.triangles, 64)
    monkeypatch.setattr(mesh, "PAIRS", 50)
    parts = rasterize(faces.pixels, faces.points[..., 2], model.triangles, 64)
    assert torch.equal(whole.triangle, parts.triangle) and torch.equal(whole.weights, parts.weights)
