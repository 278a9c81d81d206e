"""models.volumes.surface_texture: colors where the rays found the surface, at the image's resolution."""

from dataclasses import replace

import torch

from models.camera import Camera
from models.eg3d.config import UNIT
from models.eg3d.generator import EG3D
from models.volumes.planes import PLANE_AXES
from models.volumes.surface_texture import Paint

SIZE, DISTANCE = 32, 2.7


def painter(texels: int = 64) -> Paint:
    torch.manual_seed(0)
    return Paint(texels=texels, sets=2, w_dim=4, axes=PLANE_AXES["eg3d_fixed67"], box_size=1.0)


def wall(z: float, alpha: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth along the rays and alpha [1,1,16,16] of a wall at `z` that faces the camera."""
    camera = Camera.frontal(DISTANCE, DISTANCE)
    _, directions = camera.rays(16)
    return ((DISTANCE - z) / -directions[..., 2]).view(1, 1, 16, 16), torch.full((1, 1, 16, 16), alpha)


@torch.no_grad()
def shown(paint: Paint, z: float = 0.2, alpha: float = 1.0, w: torch.Tensor | None = None) -> torch.Tensor:
    depth, opaque = wall(z, alpha)
    return paint(torch.zeros(1, 4) if w is None else w, Camera.frontal(DISTANCE, DISTANCE), depth, opaque, SIZE)


def test_empty_paint_changes_nothing_and_planes_of_ones_add_alpha() -> None:
    paint = painter()
    assert torch.equal(shown(paint), torch.zeros(1, 3, SIZE, SIZE))
    with torch.no_grad():
        paint.fixed.fill_(1.0)
    inner = shown(paint, alpha=0.6)[..., 4:-4, 4:-4]
    assert torch.allclose(inner, torch.full_like(inner, 0.6), atol=2e-3)


def test_a_dot_on_the_plane_xy_is_seen_where_its_point_projects_to() -> None:
    paint = painter()
    with torch.no_grad():
        paint.fixed[0, 0, 24, 48] = 30.0  # red of the plane (x,y) at x = (48.5 / 64 - 0.5), y = (24.5 / 64 - 0.5)
    point = torch.tensor([[[48.5 / 64 - 0.5, 24.5 / 64 - 0.5, 0.2]]])
    where = Camera.frontal(DISTANCE, DISTANCE).project(point)[0][0, 0] * SIZE - 0.5
    red = shown(paint)[0, 0]
    row, column = divmod(int(red.argmax()), SIZE)
    assert abs(column - float(where[0])) <= 0.6 and abs(row - float(where[1])) <= 0.6
    assert float(shown(paint)[0, 1:].abs().max()) == 0.0


def test_the_face_is_not_painted_on_the_back_of_the_head() -> None:
    paint = painter()
    with torch.no_grad():
        paint.fixed[0, :3] = 1.0
    assert float(shown(paint, z=0.3)[0, 0, 16, 16]) > 0.3
    assert float(shown(paint, z=-0.3)[0, 0, 16, 16]) < 1e-4


def test_w_moves_the_paint_and_no_gradient_reaches_the_surface() -> None:
    paint = painter()
    with torch.no_grad():
        paint.moving.normal_()
    one, other = shown(paint, w=torch.zeros(1, 4)), shown(paint, w=torch.ones(1, 4))
    assert float((one - other).abs().max()) > 0.1
    depth, alpha = (value.requires_grad_(True) for value in wall(0.2))
    paint(torch.ones(1, 4), Camera.frontal(DISTANCE, DISTANCE), depth, alpha, SIZE).square().sum().backward()
    assert depth.grad is None and alpha.grad is None
    assert all(value.grad is not None and float(value.grad.abs().max()) > 0 for value in paint.parameters())


def test_where_nothing_is_opaque_nothing_is_painted() -> None:
    paint = painter()
    with torch.no_grad():
        paint.fixed.fill_(1.0)
    assert torch.equal(shown(paint, alpha=0.01), torch.zeros(1, 3, SIZE, SIZE))


def test_a_generator_with_empty_paint_shows_what_it_showed_without() -> None:
    torch.manual_seed(1)
    plain, painted = EG3D(UNIT), EG3D(replace(UNIT, paint=32, paint_sets=2))
    missing, unexpected = painted.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and {name.split(".")[0] for name in missing} == {"paint"}
    ws = plain.mapping(torch.randn(2, UNIT.z_dim))
    camera = Camera.frontal(2.7, 2.7)[torch.zeros(2, dtype=torch.long)]
    with torch.no_grad():
        assert torch.equal(plain.synthesis(ws, camera).image, painted.synthesis(ws, camera).image)
        painted.paint.fixed.add_(0.5)
        changed = painted.synthesis(ws, camera)
        assert torch.equal(changed.raw, plain.synthesis(ws, camera).raw)
        assert float((changed.image - plain.synthesis(ws, camera).image).abs().max()) > 0.01
