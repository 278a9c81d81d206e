"""Films of a scanned head with known cameras: the mesh of a GLB file before a textured room or a plain wall, drawn in numpy.

Notable choices: a pixel is the mean of 2 x 2 samples; triangles are tested against the samples of their box, boxes of one size
at a time, and the nearest sample wins by sorting. The room is a box seen from inside with smaller boxes in it. Light stands
still in the room, so that a turning head is shaded anew in every frame. A lens with radial distortion bends the place of every
corner of a triangle, and of the room every ray.
"""

import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.core.files import read_image

SAMPLES = 2
"""Per pixel, each way."""
LIGHTS = ((np.array([0.35, 0.55, 0.76]), 0.55), (np.array([-0.8, 0.2, 0.56]), 0.22))
"""Directions toward the lights in the room, and their strength."""
AMBIENT = 0.42


@dataclass(frozen=True)
class Mesh:
    """One textured surface; y up, z out of the face."""

    points: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    """[V,2] with (0, 0) at the texture's upper left corner."""
    triangles: np.ndarray
    texture: np.ndarray
    """uint8 [H,W,3] RGB."""

    def moved(self, room_from_head: np.ndarray) -> "Mesh":
        turn, shift = room_from_head[:3, :3], room_from_head[:3, 3]
        return replace(self, points=self.points @ turn.T + shift, normals=self.normals @ turn.T)


@dataclass(frozen=True)
class Box:
    """An axis-parallel box with a picture on all of its six sides."""

    low: np.ndarray
    high: np.ndarray
    texture: np.ndarray


@dataclass(frozen=True)
class Film:
    """Pictures and their truth."""

    images: list[np.ndarray]
    camera_from_head: np.ndarray
    """[N,4,4], OpenCV axes, lengths in units of the mesh."""
    focal_px: float
    size: tuple[int, int]
    rate_hz: float
    lens: float = 0.0
    """k1 of a radial distortion: what lies at x, y in the plane at distance 1 is seen at (1 + k1 (x^2 + y^2)) (x, y)."""


def load_head(folder: Path) -> Mesh:
    """The scan of Lee Perry-Smith (CC-BY-3.0): about 8 units high with the shoulders, its head's center near the origin."""
    raw = (folder / "LeePerrySmith.glb").read_bytes()
    length = struct.unpack("<I", raw[12:16])[0]
    record, data = json.loads(raw[20 : 20 + length]), raw[28 + length :]
    values = record["meshes"][0]["primitives"][0]

    def array(number: int) -> np.ndarray:
        known = record["accessors"][number]
        view = record["bufferViews"][known["bufferView"]]
        kind, width = {5123: "<u2", 5126: "<f4"}[known["componentType"]], {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[known["type"]]
        flat = np.frombuffer(data, kind, known["count"] * width, view.get("byteOffset", 0))
        return flat.reshape(known["count"], width)

    texture = read_image(folder / "Map-COL.jpg")
    uv = array(values["attributes"]["TEXCOORD_0"]).astype(np.float64) * (1, -1) + (0, 1)
    return Mesh(
        points=array(values["attributes"]["POSITION"]).astype(np.float64) - (0.0, 1.3, 0.0),
        normals=array(values["attributes"]["NORMAL"]).astype(np.float64),
        uv=uv,
        triangles=array(values["indices"]).reshape(-1, 3).astype(np.int64),
        texture=texture,
    )


def orbit(count: int, reach_deg: float, distance: float, seed: int = 0) -> np.ndarray:
    """camera_from_room [N,4,4]: a hand-held sweep from -reach to +reach around the origin, never quite even."""
    s = np.linspace(0, 1, count)
    phase = np.random.default_rng(seed).uniform(0, 6.28, 6)
    yaw = reach_deg * (2 * s - 1) + 0.02 * reach_deg * np.sin(25 * s + phase[0]) * np.sin(np.pi * s)
    pitch = 5 * np.sin(7 * s + phase[1])
    away = distance * (1 + 0.04 * np.sin(9 * s + phase[2]))
    target = 0.03 * distance * np.column_stack([np.sin(11 * s + phase[3]), np.sin(13 * s + phase[4]), 0 * s])
    return np.stack([looking_at(*row) for row in zip(yaw, pitch, away, target, 2 * np.sin(6 * s + phase[5]), strict=True)])


def looking_at(yaw_deg: float, pitch_deg: float, distance: float, target: np.ndarray, roll_deg: float = 0.0) -> np.ndarray:
    """camera_from_room [4,4] of a camera at the given angles around `target`; positive yaw stands at +x."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("YX", [yaw_deg, -pitch_deg], degrees=True).as_matrix()
    roll = Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = roll @ np.diag([1.0, -1.0, -1.0]) @ turn.T
    pose[:3, 3] = (0, 0, distance) - pose[:3, :3] @ target
    return pose


def film(
    head: Mesh, backdrop: str, motion: str, count: int = 60, size: tuple[int, int] = (540, 720), reach_deg: float = 75.0,
    rate_hz: float = 10.0, seed: int = 0, lens: float = 0.0,
) -> Film:  # fmt: skip
    """`count` pictures before a `room` or a `wall`, in which the `camera` moves or the `head` turns."""
    focal_px, distance = 1.25 * max(size), 11.5
    if motion == "camera":
        camera_from_room, room_from_head = orbit(count, reach_deg, distance, seed), np.tile(np.eye(4), (count, 1, 1))
    else:
        camera_from_room = np.tile(looking_at(0, 2, distance, np.array([0.2, 0.1, 0.0])), (count, 1, 1))
        room_from_head = np.linalg.inv(camera_from_room) @ orbit(count, reach_deg, distance, seed)
    scenery, generator = boxes(seed) if backdrop == "room" else [], np.random.default_rng(seed)
    images = []
    for camera, placed in zip(camera_from_room, room_from_head, strict=True):
        image = draw(head.moved(placed), camera, focal_px, size, scenery, lens)
        noisy = image + generator.normal(0, 1.5, image.shape)
        images.append(np.clip(noisy, 0, 255).round().astype(np.uint8))
    return Film(images, camera_from_room @ room_from_head, focal_px, size, rate_hz, lens)


def draw(
    mesh: Mesh, camera_from_room: np.ndarray, focal_px: float, size: tuple[int, int], scenery: list[Box], lens: float = 0.0
) -> np.ndarray:
    """float [H,W,3] in 0..255."""
    wide, high = (SAMPLES * side for side in size)
    behind = _backdrop(camera_from_room, SAMPLES * focal_px, (wide, high), scenery, lens)
    sample, triangle, share = _hits(mesh, camera_from_room, SAMPLES * focal_px, (wide, high), lens)
    corners = mesh.triangles[triangle]
    uv = np.einsum("kc,kcd->kd", share, mesh.uv[corners])
    normal = np.einsum("kc,kcd->kd", share, mesh.normals[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    light = AMBIENT + np.sum([strength * np.maximum(normal @ toward, 0) for toward, strength in LIGHTS], axis=0)
    behind.reshape(-1, 3)[sample] = _picked(mesh.texture, uv) * light[:, None]
    return behind.reshape(size[1], SAMPLES, size[0], SAMPLES, 3).mean(axis=(1, 3))


def bent(at: np.ndarray, lens: float) -> np.ndarray:
    """[...,2] places in the plane at distance 1 as the lens shows them: bent((0.3, 0.4), -0.08) is (0.294, 0.392)."""
    return at * (1 + lens * np.sum(at**2, axis=-1, keepdims=True))


def straight(seen: np.ndarray, lens: float, rounds: int = 12) -> np.ndarray:
    """The inverse of `bent`."""
    at = seen
    for _ in range(rounds if lens else 0):
        at = seen / (1 + lens * np.sum(at**2, axis=-1, keepdims=True))
    return at


def _hits(
    mesh: Mesh, camera_from_room: np.ndarray, focal: float, size: tuple[int, int], lens: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples covered (flat numbers), the nearest triangle there, and its barycentric shares, perspective-correct."""
    inside = mesh.points @ camera_from_room[:3, :3].T + camera_from_room[:3, 3]
    px = focal * bent(inside[:, :2] / inside[:, 2:], lens) + np.array(size) / 2
    at, depth = px[mesh.triangles], inside[mesh.triangles, 2]
    one, two = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    low = np.ceil(at.min(1) - 0.5).astype(int)
    extent = (np.floor(at.max(1) - 0.5).astype(int) - low + 1).max(1)
    # in the picture y points down, so that a triangle counterclockwise from outside has a negative area
    drawn = (area < 0) & (depth.min(1) > 0.1) & (extent > 0) & (extent < 400)
    found = []
    bound = 4
    while drawn.any():
        rows = np.flatnonzero(drawn & (extent <= bound))
        drawn[rows] = False
        for part in np.array_split(rows, max(1, len(rows) * bound**2 // 2_000_000)):
            found.append(_covered(at[part], depth[part], area[part], low[part], bound, size, part))
        bound *= 2
    sample, near, triangle, share = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((near, sample))
    first = order[np.unique(sample[order], return_index=True)[1]]
    return sample[first], triangle[first], share[first]


def _covered(
    at: np.ndarray, depth: np.ndarray, area: np.ndarray, low: np.ndarray, bound: int, size: tuple[int, int], rows: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Sample, depth, triangle, shares of every sample inside triangles whose boxes are at most `bound` wide and high."""
    grid = np.stack(np.meshgrid(np.arange(bound), np.arange(bound)), -1).reshape(-1, 2)
    where = low[:, None] + grid
    point = where + 0.5
    edge = [at[:, (k + 2) % 3] - at[:, (k + 1) % 3] for k in range(3)]
    share = np.stack([_cross(edge[k], point, at[:, (k + 1) % 3]) for k in range(3)], -1) / area[:, None, None]
    inside = np.all(share >= 0, -1) & np.all((where >= 0) & (where < np.array(size)), -1)
    number, cell = np.nonzero(inside)
    over = share[number, cell] / depth[number]
    total = over.sum(1)
    sample = where[number, cell] @ np.array([1, size[0]])
    return sample, 1 / total, rows[number], over / total[:, None]


def _cross(edge: np.ndarray, point: np.ndarray, start: np.ndarray) -> np.ndarray:
    away = point - start[:, None]
    return edge[:, None, 0] * away[..., 1] - edge[:, None, 1] * away[..., 0]


def _picked(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """float [K,3], bilinear."""
    import cv2

    if len(uv) == 0:
        return np.zeros((0, 3))
    place = (uv * texture.shape[1::-1] - 0.5).astype(np.float32)
    rows = -(-len(place) // 4096)
    padded = np.zeros((rows * 4096, 2), np.float32)
    padded[: len(place)] = place
    across, down = padded.reshape(rows, 4096, 2).transpose(2, 0, 1).copy()
    found = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[: len(place)].astype(np.float64)


def _backdrop(camera_from_room: np.ndarray, focal: float, size: tuple[int, int], scenery: list[Box], lens: float) -> np.ndarray:
    """float [H,W,3]: the boxes along every ray (the first from inside), or a wall that is only a little uneven in light."""
    x, y = np.meshgrid((np.arange(size[0]) + 0.5 - size[0] / 2) / focal, (np.arange(size[1]) + 0.5 - size[1] / 2) / focal)
    turn = camera_from_room[:3, :3]
    ray = np.concatenate([straight(np.stack([x, y], -1), lens), np.ones((*x.shape, 1))], -1) @ turn
    if not scenery:
        unit = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
        return np.array([196.0, 193.0, 186.0]) * (0.93 + 0.05 * unit[..., 1:2])
    eye = -camera_from_room[:3, 3] @ turn
    result, nearest = np.zeros((*x.shape, 3)), np.full(x.shape, np.inf)
    for number, box in enumerate(scenery):
        part = _shadow(box, camera_from_room, focal, size, lens) if number else (slice(None), slice(None))
        rays = ray[part]
        with np.errstate(divide="ignore"):
            one, two = (box.low - eye) / rays, (box.high - eye) / rays
        near, far = np.minimum(one, two), np.maximum(one, two)
        enter, leave = near.max(-1), far.min(-1)
        along, side = (leave, far.argmin(-1)) if number == 0 else (enter, near.argmax(-1))
        hit = (along > 0) & (along < nearest[part]) & (enter < leave)
        nearest[part][hit] = along[hit]
        result[part][hit] = _painted(box, eye + along[hit, None] * rays[hit], side[hit])
    return result


def _shadow(box: Box, camera_from_room: np.ndarray, focal: float, size: tuple[int, int], lens: float) -> tuple[slice, slice]:
    """Rows and columns of the samples in which the box can be seen."""
    corners = np.stack(np.meshgrid(*zip(box.low, box.high, strict=True)), -1).reshape(-1, 3)
    inside = corners @ camera_from_room[:3, :3].T + camera_from_room[:3, 3]
    if inside[:, 2].max() < 0:
        return slice(0, 0), slice(0, 0)
    if inside[:, 2].min() < 0.1:
        return slice(None), slice(None)
    px = focal * inside[:, :2] / inside[:, 2:] + np.array(size) / 2
    most = abs(lens) * focal * (0.51 * float(np.hypot(*size)) / focal) ** 3  # how far the lens moves what is in the picture
    low, high = px.min(0) - most - 1, px.max(0) + most + 2
    (x0, y0), (x1, y1) = (np.clip(low, 0, size).astype(int), np.clip(high, 0, size).astype(int))
    return slice(y0, y1), slice(x0, x1)


def _painted(box: Box, point: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The box's picture at points on it; the side with the normal along axis `side`."""
    unit = (point - box.low) / (box.high - box.low)
    uv = np.column_stack([np.where(side == 0, unit[:, 2], unit[:, 0]), np.where(side == 1, unit[:, 2], unit[:, 1])])
    return _picked(box.texture, uv * (1, -1) + (0, 1)) * np.array([0.85, 0.7, 1.0])[side][:, None]


def boxes(seed: int) -> list[Box]:
    """A room of 44 x 26 x 50 units around the head, with furniture along its walls."""
    generator = np.random.default_rng(seed)
    room = Box(np.array([-22.0, -12, -25]), np.array([22.0, 14, 25]), pictures(generator, 1536, 90))
    places = [(-20, -12, -24, 7, 16, 4), (8, -12, -24, 8, 9, 5), (-4, -12, -24, 6, 13, 3), (17, -12, -14, 5, 10, 8),
              (-22, -12, -12, 4, 8, 9), (14, -3, -23, 3, 4, 3), (-21, -4, -8, 2, 3, 3), (-22, -12, 2, 4, 15, 6),
              (18, -12, 3, 4, 12, 5)]  # fmt: skip
    return [room] + [
        Box(np.array(place[:3], float), np.array(place[:3], float) + place[3:], pictures(generator, 512, 30))
        for place in places
    ]


def pictures(generator: np.random.Generator, side: int, count: int) -> np.ndarray:
    """uint8 [side,side,3]: posters of shapes and letters on paint."""
    import cv2

    image = np.full((side, side, 3), generator.integers(150, 220, 3), np.uint8)
    for _ in range(count):
        width, height = generator.integers(side // 24, side // 7, 2)
        x, y = generator.integers(0, side - width), generator.integers(0, side - height)
        poster = np.full((height, width, 3), generator.integers(40, 240, 3), np.uint8)
        for _ in range(14):
            color = tuple(int(value) for value in generator.integers(20, 250, 3))
            place = (int(generator.integers(0, width)), int(generator.integers(0, height)))
            if generator.random() < 0.5:
                cv2.circle(poster, place, int(generator.integers(2, 14)), color, -1, cv2.LINE_AA)
            else:
                cv2.putText(poster, chr(int(generator.integers(65, 122))), place, 0, 0.8, color, 2, cv2.LINE_AA)
        image[y : y + height, x : x + width] = poster
    grain = generator.normal(0, 6, (side // 4, side // 4, 1))
    return np.clip(image + cv2.resize(grain, (side, side))[..., None], 0, 255).astype(np.uint8)
