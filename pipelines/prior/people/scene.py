"""Light, cameras and the picture that a person gives under them. Head space: units of 32 cm, y up, +z out of the face."""

from dataclasses import dataclass

import numpy as np

from pipelines.face.ict import ORIGIN_CM, UNIT_CM
from pipelines.prior.people.numbers import normalize, random_color, smooth, to_srgb
from pipelines.prior.people.posed import Posed
from pipelines.prior.people.raster import light_view, no_hits, rasterize, rasterize_depth
from pipelines.prior.people.shading import shade
from pipelines.prior.people.surfaces import Lamps, Scene, Shadow, Surface, canvas

GRAY = 127
"""Of 255: what lies behind a person in a shard's images."""
CROP_EXTENT = 0.85
"""Side of an image at the origin's depth, in head units, as in the shipped priors."""
EXTENT_SPREAD = 0.03


@dataclass(frozen=True)
class View:
    """One camera: world_from_camera [4,4] (OpenCV axes, head units) and intrinsics [3,3] over image size."""

    world_from_camera: np.ndarray
    intrinsics: np.ndarray

    def label(self) -> np.ndarray:
        """[25] as models.camera.Camera.label."""
        return np.concatenate([self.world_from_camera.ravel(), self.intrinsics.ravel()]).astype(np.float32)


@dataclass(frozen=True)
class Picture:
    """image uint8 [S,S,3] over gray, alpha uint8 [S,S], depth float32 [S,S] along the camera's z (0: nothing), part uint8."""

    image: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    part: np.ndarray


def view_from(
    yaw_deg: float, pitch_deg: float, radius: float, roll_deg: float = 0.0, extent: float = CROP_EXTENT,
    off_center: tuple[float, float] = (0.0, 0.0), aim: tuple[float, float] = (0.0, 0.0),
) -> View:  # fmt: skip
    """A camera on the sphere of a radius around the origin, which it sees at 0.5 + off_center; yaw to the person's left.

    f = z / extent with z the origin's depth: radius 2.7 and extent 0.85 give 3.176. Aimed elsewhere (degrees), the camera turns
    and the image shifts back, as in a crop of a wider photograph.
    """
    yaw, pitch = np.radians([yaw_deg, pitch_deg])
    eye = radius * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    forward = normalize(-eye)
    right = normalize(np.cross(forward, [0, 1.0, 0]))
    axes = np.stack([right, np.cross(forward, right), forward], 1) @ _turn(*np.radians([*aim, roll_deg]))
    center = axes.T @ -eye
    focal = center[2] / extent
    middle = 0.5 + np.array(off_center) - focal * center[:2] / center[2]
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3], world_from_camera[:3, 3] = axes, eye
    return View(world_from_camera, np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]]))


def _turn(x: float, y: float, z: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", [x, y, z]).as_matrix()


def draw_view(
    random: np.random.Generator, frontal: bool, radii: tuple[float, float], around: float, extent: float = CROP_EXTENT
) -> View:
    """A camera by lot: near the front, or with the share `around` from any side, else within 100 degrees."""
    if frontal:
        yaw = float(np.clip(random.normal(0, 18), -45, 45))
    elif random.random() < around:
        yaw = float(random.uniform(-180, 180))
    else:
        yaw = float(random.uniform(-100, 100))
    return view_from(
        yaw, float(np.clip(random.normal(2, 10), -30, 35)), float(np.exp(random.uniform(*np.log(radii)))),
        roll_deg=float(np.clip(random.normal(0, 4), -10, 10)),
        extent=extent * float(np.exp(random.uniform(-EXTENT_SPREAD, EXTENT_SPREAD))),
        off_center=(float(random.uniform(-0.03, 0.03)), float(random.uniform(-0.03, 0.03))),
        aim=(float(random.normal(0, 2)), float(random.normal(0, 2))),
    )  # fmt: skip


def harmonics(direction: np.ndarray) -> np.ndarray:
    """[9] real spherical harmonics Y of a unit direction; Y_0 = 0.2821."""
    x, y, z = direction
    linear = [0.282095, 0.488603 * y, 0.488603 * z, 0.488603 * x]
    return np.array(
        [*linear, 1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)]
    )


def draw_light(random: np.random.Generator) -> Lamps:
    """A key lamp, a weaker fill, a rim from behind, and a sky of soft blobs."""
    warmth = random.uniform(-1, 1)
    warm = np.array([1 + 0.18 * warmth, 1, 1 - 0.22 * warmth])
    key = np.radians([random.uniform(-75, 75), random.uniform(5, 55)])
    fill = np.radians([random.uniform(-30, 30), random.uniform(-10, 30)]) - [key[0], 0]
    rim = np.radians([random.choice([-1, 1]) * random.uniform(120, 165), random.uniform(0, 40)])
    colors = [warm * random.uniform(0.4, 1.1), (2 - warm) * random.uniform(0.05, 0.35), np.ones(3) * random.uniform(0, 0.5)]
    sky = np.zeros((9, 3))
    sky[0] = random.uniform(0.35, 0.65) * 0.846 * np.exp(random.normal(0, 0.04, 3))
    for _ in range(random.integers(2, 5)):
        blob = normalize(random.standard_normal(3) * [1, 0.6, 1] + [0, 0.45, 0.25])
        sky += harmonics(blob)[:, None] * random.uniform(0.1, 0.5) * np.exp(random.normal(0, 0.12, 3))
    return Lamps(
        np.stack([_toward(*key), _toward(*fill), _toward(*rim)]).astype(np.float32), np.stack(colors).astype(np.float32),
        sky.astype(np.float32),
    )  # fmt: skip


def _toward(yaw: float, pitch: float) -> np.ndarray:
    return np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])


def light_label(lamps: Lamps) -> np.ndarray:
    """[9,3] SH of all light: the sky's, plus color times Y(direction) of each lamp (a point of light)."""
    points = np.stack([harmonics(direction) for direction in lamps.directions])
    return (lamps.ambient + points.T @ lamps.colors).astype(np.float32)


def render_person(posed: Posed, view: View, lamps: Lamps, size: int, samples: int = 2) -> Picture:
    """What the camera sees at size x size pixels with samples x samples rays a pixel."""
    eye = (view.world_from_camera[:3, 3] * UNIT_CM + ORIGIN_CM).astype(np.float32)
    surface = posed.surface(eye, 1.0 / (view.intrinsics[0, 0] * size * samples))
    fine = size * samples
    seen = (surface.points - eye) @ view.world_from_camera[:3, :3].astype(np.float32)
    inverse = np.where(seen[:, 2] > 1, 1 / np.maximum(seen[:, 2], 1), 0).astype(np.float32)
    x, y = (
        np.ascontiguousarray(
            (seen[:, axis] * inverse * view.intrinsics[axis, axis] + view.intrinsics[axis, 2]) * fine, np.float32
        )
        for axis in (0, 1)
    )
    rasterize(x, y, inverse, surface.faces, hits := no_hits(fine, fine))
    shadow = _shadow(surface, lamps.directions[0], int(np.clip(1.25 * size, 192, 384)))
    shade(hits, Scene(surface, posed.look(), lamps, shadow, eye), samples, picture := canvas(size))
    return Picture(*_over_gray(picture.color), picture.depth / UNIT_CM, picture.part)


def _over_gray(color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """sRGB of straight color times alpha over gray, so that image - (1 - alpha) gray + (1 - alpha) other is exact."""
    alpha = np.clip(color[..., 3:], 0, 1)
    straight = np.clip(to_srgb(color[..., :3] / np.maximum(alpha, 1e-4)), 0, 1)
    image = straight * alpha + GRAY / 255 * (1 - alpha)
    return (image * 255 + 0.5).astype(np.uint8), (alpha[..., 0] * 255 + 0.5).astype(np.uint8)


def _shadow(surface: Surface, direction: np.ndarray, size: int) -> Shadow:
    """Depth from the first lamp over head and shoulders."""
    axes = light_view(direction)
    seen = surface.points @ axes.T
    inside = seen[::9][np.abs(surface.points[::9, 1]) < 19]
    low, high = inside.min(0) - 4, inside.max(0) + 4
    scale = size / float(max(high[0] - low[0], high[1] - low[1]))
    x, y = (np.ascontiguousarray((seen[:, axis] - low[axis]) * scale) for axis in (0, 1))
    depth = np.full((size, size), 1e9, np.float32)
    rasterize_depth(x, y, np.ascontiguousarray(seen[:, 2]), surface.faces, depth)
    return Shadow(depth, axes, np.array([low[0], low[1], scale], np.float32))


def draw_backdrop(random: np.random.Generator, size: int) -> np.ndarray:
    """uint8 [S,S,3] a soft gradient with blurred blobs, to lay behind a picture."""
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    angle = random.uniform(0, 2 * np.pi)
    share = np.clip(np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5) + 0.5, 0, 1)[..., None]
    one, other = (random_color(random, (0, 120), (40, 240)) for _ in range(2))
    image = one * (1 - share) + other * share
    for _ in range(random.integers(0, 12)):
        center, radius = random.uniform(0, 1, 2), random.uniform(0.05, 0.3)
        blob = smooth(radius, 0.6 * radius, np.hypot(x - center[0], y - center[1]))[..., None]
        image = image * (1 - 0.8 * blob) + random_color(random, (0, 120), (40, 240)) * 0.8 * blob
    return (np.clip(to_srgb(image), 0, 1) * 255 + 0.5).astype(np.uint8)


def composite_over(image: np.ndarray, alpha: np.ndarray, backdrop: np.ndarray) -> np.ndarray:
    """A shard's uint8 image over another background than its gray."""
    free = 1 - alpha[..., None].astype(np.float32) / 255
    return np.clip(image + free * (backdrop.astype(np.float32) - GRAY) + 0.5, 0, 255).astype(np.uint8)
