"""Head hair: strands that start on the scalp and follow a comb field, gravity and the skin, bound together in locks.

Growth happens around the mean head; the person's shape moves each point with the nearest skin vertex afterwards.
"""

import numpy as np
from scipy.spatial import KDTree

from pipelines.prior.people.hairstyles import KNOTS, STYLES, Style
from pipelines.prior.people.numbers import normalize, smooth
from pipelines.prior.people.regions import scalp_distance
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.strands import Strands, scatter_roots

CROWN = np.array([0, 4.0, 0.5])
"""The middle of the skull, cm."""
FIELDS = {"down": (0, -1, 0), "back": (0, -0.15, -1), "forward": (0, -0.35, 1)}


def grow_hair(stock: Stock, name: str, seed: int) -> Strands | None:
    """The hair of a style around the mean head; None for the bald."""
    if name not in STYLES:
        return None
    style, random = STYLES[name], np.random.default_rng(seed)
    fineness = stock.fineness
    roots, normals, bound = _roots(stock, style, round(style.count * fineness), random)
    lengths = _lengths(style, roots, random)
    parting = style.parting * (1 if random.random() < 0.5 else -1) + random.uniform(-0.6, 0.6)
    fringe = _fringe(style, roots)
    if style.fringe is not None:
        bangs = np.maximum(roots[:, 1] - style.fringe, 1) * 1.35 + random.uniform(-0.3, 0.3, len(roots))
        lengths = np.where(fringe, bangs, lengths)
    layer = style.height * random.uniform(0.8, 1.25) * random.uniform(0.15, 1, len(roots)) ** 0.8
    points = _combed(stock, style, roots, normals, lengths, layer, parting, fringe, random)
    locks = _locks(roots, random)
    points = _curled(_gathered(points, locks, style, random), lengths, locks, style, random)
    tint = random.normal(0, 0.10, len(roots)) + random.normal(0, 0.10, len(roots))[locks]
    return Strands(
        points=points.astype(np.float32), bound=_bound(stock, points, bound), width=style.width * fineness**-0.75, taper=0.55,
        tint=tint, occlusion=(0.5 + 0.5 * layer / layer.max()).astype(np.float32), on_face=False,
    )  # fmt: skip


def _roots(stock: Stock, style: Style, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [N,3], normals [N,3] and a skin vertex [N] each."""
    faces = stock.model.faces[: stock.model.part_triangles["head_neck"].stop]
    center = stock.model.mean[faces].mean(1)
    ear = (np.abs(center[:, 0]) > 7.4) & (center[:, 1] < 5.6) & (center[:, 2] > -2.6)
    hairy = (scalp_distance(center) > 0) & ~ear & (center[:, 1] > -6)
    if style.receding:
        hairy &= ~((center[:, 1] > 8.2 + random.uniform(-1, 1)) & (center[:, 2] > -6.5 + random.uniform(0, 5)))
    triangle, weights = scatter_roots(stock.model.mean, faces, hairy, count, random)
    corners = faces[triangle]
    points = (stock.model.mean[corners] * weights[..., None]).sum(1)
    return points, normalize((stock.normals[corners] * weights[..., None]).sum(1)), corners[:, 0]


def _lengths(style: Style, roots: np.ndarray, random: np.random.Generator) -> np.ndarray:
    top = smooth(5.5, 9.5, roots[:, 1])
    back = smooth(1, -5, roots[:, 2]) * (1 - top)
    lengths = style.lengths[0] * top + (1 - top) * (style.lengths[1] * (1 - back) + style.lengths[2] * back)
    lengths = lengths * random.uniform(0.75, 1.25) * random.uniform(0.8, 1.08, len(roots))
    if style.height < 1.3 or max(style.lengths) < 9:
        lengths *= np.clip(0.35 + 0.65 * scalp_distance(roots) / 2.0, 0.3, 1)
    front = (roots[:, 2] > 3) & (roots[:, 1] > 8)
    if style.comb in ("forward", "sweep") and max(style.lengths) > 3:  # nothing hangs into the eyes
        return np.where(front, np.minimum(lengths, np.maximum(roots[:, 1] - 5.6, 1) * 1.25 + 0.3), lengths)
    return lengths


def _fringe(style: Style, roots: np.ndarray) -> np.ndarray:
    front = (roots[:, 2] > 3.5) & (np.abs(roots[:, 0]) < 5.2) & (roots[:, 1] > 9)
    return front if style.fringe is not None else np.zeros(len(roots), bool)


def comb(name: str, points: np.ndarray, parting: float) -> np.ndarray:
    """[N,3] directions along the skin in which hair at these points is combed."""
    outward = normalize(points - CROWN)
    x = points[:, 0]
    if name == "out":
        return outward
    if name == "side":
        front = smooth(-5, 1, points[:, 2])  # the parting ends at the crown, behind it hair falls
        wish = np.stack([np.sign(x - parting) * (0.1 + 0.9 * front), front * 0.75 - 1, np.full(len(x), -0.15)], 1)
    elif name == "sweep":
        wish = np.stack([np.where(x < parting, -0.5, 1.0), np.full(len(x), -0.15), np.full(len(x), 0.15)], 1)
    elif name in KNOTS:
        wish = np.array(KNOTS[name][0]) - points
    else:
        wish = np.broadcast_to(np.array(FIELDS[name], float), points.shape)
    return normalize(wish - (wish * outward).sum(1, keepdims=True) * outward)


def _combed(stock, style, roots, normals, lengths, layer, parting, fringe, random) -> np.ndarray:  # type: ignore[no-untyped-def]
    """[N,K,3]: step by step along the field, drawn down by gravity, kept out of the skin and off the face."""
    steps = 20 if style.curl and style.comb != "forward" else 12
    lift = style.lift * random.uniform(0.8, 1.2)
    field = _field(style, roots, parting, fringe)
    heading = normalize(normals * lift + field * (1 - 0.5 * lift) + 0.18 * random.standard_normal(roots.shape))
    points, met = [roots + normals * 0.02], np.zeros(len(roots), bool)
    for step in range(1, steps):
        here, stride = points[-1], (lengths / (steps - 1))[:, None]
        field = _field(style, here, parting, fringe)
        if style.tied:
            heading, stride, met = _tied(style, here, heading, field, stride, met, steps, random)
        else:
            heading = _falling(style, here, heading, field, step / steps, random)
        here = here + heading * stride
        near = layer * min(1.0, 0.25 + step / (steps * 0.4))
        here = _outside(stock, here, np.maximum(near * 0.55, 0.06))
        points.append(_off_the_face(here, layer, fringe) if style.long and not style.tied else here)
    return np.stack(points, 1)


def _field(style: Style, points: np.ndarray, parting: float, fringe: np.ndarray) -> np.ndarray:
    field = comb(style.comb, points, parting).copy()
    field[fringe] = comb("forward", points[fringe], parting)
    return field


def _falling(style: Style, here, heading, field, share: float, random: np.random.Generator) -> np.ndarray:  # type: ignore[no-untyped-def]
    weight = style.gravity * min(share / 0.35, 1.0)
    low = smooth(9, 3, here[:, 1])[:, None]
    field = normalize(field * (1 - low * weight) + np.array([0, -1.0, 0]) * (weight * (0.35 + 0.65 * low)))
    keep, pull = (0.4, 0.6) if style.long else (0.55, 0.45 if style.gravity > 0 or style.comb != "out" else 0.18)
    return normalize(keep * heading + pull * field + 0.06 * random.standard_normal(here.shape))


def _tied(style, here, heading, field, stride, met, steps, random):  # type: ignore[no-untyped-def]
    """Hair runs to the knot; from there a ponytail falls and a bun winds."""
    knot = np.array(KNOTS[style.comb][1])
    gap = np.linalg.norm(here - knot, axis=1)
    met = met | (gap <= 1.6)
    wound = normalize(np.cross(here - knot, [0.3, 1.0, 0.2]) + 0.6 * (knot - here))
    after = np.array([0, -1.0, -0.15]) if style.comb == "ponytail" else wound
    field = np.where(met[:, None], after, field)
    heading = normalize(0.35 * heading + 0.65 * field + 0.05 * random.standard_normal(here.shape))
    return heading, np.where(met[:, None], stride, np.maximum(stride, gap[:, None] / (steps * 0.62))), met


def _outside(stock: Stock, points: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Points pushed out until they are `height` above the nearest skin (ears left out)."""
    nearest = stock.no_ears[stock.tree_no_ears.query(points)[1]]
    normals = stock.normals[nearest]
    above = ((points - stock.model.mean[nearest]) * normals).sum(1)
    return points + normals * np.maximum(height - above, 0)[:, None]


def _off_the_face(points: np.ndarray, layer: np.ndarray, fringe: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    before = (z > 2.5) & (y < 8.5) & (y > -12) & ~fringe
    edge = np.interp(y, [-12, -9, -5, 0, 5, 8.5], [4.6, 5.2, 6.4, 7.2, 6.5, 3.3]) + 0.5 * layer
    side = np.where(x == 0, 1, np.sign(x))
    aside = np.where(before & (np.abs(x) < edge), side * edge, x)
    return np.stack([aside, y, np.where(before, np.minimum(z, 6.2 + layer * 0.5), z)], 1)


def _locks(roots: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[N] the strand that leads each strand's lock."""
    leaders = random.choice(len(roots), max(8, len(roots) // 22), replace=False)
    return leaders[KDTree(roots[leaders]).query(roots)[1]]


def _gathered(points: np.ndarray, locks: np.ndarray, style: Style, random: np.random.Generator) -> np.ndarray:
    """Strands drawn toward their lock's leader, more so at the ends."""
    if max(style.lengths) < 0.5:
        return points
    share = random.uniform(0.2, 0.5) * np.linspace(0, 1, points.shape[1])[None, :, None] ** 0.8
    leader, roots = points[locks], points[:, :1]
    return points * (1 - share) + (leader - 0.35 * leader[:, :1] + 0.35 * roots) * share


def _curled(points, lengths, locks, style: Style, random: np.random.Generator) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Waves around the strand's own line: a helix of the style's radius, in step within a lock."""
    radius, turns = style.curl * random.uniform(0.7, 1.3), style.curls_per_cm
    phase = random.uniform(0, 2 * np.pi, len(points))
    if not radius and not style.long:
        return points
    count = points.shape[1]
    along = normalize(np.gradient(points, axis=1))
    first = normalize(np.cross(along, [0.3, 0.2, 0.93]))
    share = np.linspace(0, 1, count)[None, :, None]
    phase = phase if style.comb == "out" else phase[locks]
    turn = (
        np.minimum(lengths * turns * (1 if radius else 0.35), (count - 1) * 1.15)[:, None, None] * share + phase[:, None, None]
    )
    size = (radius or 0.12) * smooth(0, 0.35, share)
    return points + size * (np.cos(turn) * first + np.sin(turn) * np.cross(along, first))


def _bound(stock: Stock, points: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """[N,K] the skin vertex whose shape each point takes on."""
    found = stock.no_ears[stock.tree_no_ears.query(points.reshape(-1, 3))[1]].reshape(points.shape[:2])
    found[:, 0] = roots
    return found
