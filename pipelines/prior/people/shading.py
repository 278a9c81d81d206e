"""Color of what a pixel sees: three lamps, the first one's shadow, ambient light in spherical harmonics, a model a material.

Skin wraps its diffuse light by channel (red travels furthest under the skin) and shines by Fresnel; hair is Kajiya-Kay on
ribbons with the head's own roundness mixed in; eyes are painted by angle from the gaze. Light is linear.
Several samples a pixel: color and coverage are their mean, depth the mean of what is hit, the part what most samples show.
This is one file because the compiler's cache notices changes of a function's own file alone.
"""

import math

import numpy as np
from numba import njit

from pipelines.prior.people.parts import CLOTH, CLOTH_PART, EYE, FRAME, GUM, HAIR, MOUTH, SCALP, SKIN, TEETH, TONGUE
from pipelines.prior.people.raster import FAST


@njit(**FAST)
def irradiance(x, y, z, sh, c):  # type: ignore[no-untyped-def]
    """Light that falls on a surface of normal (x, y, z): the SH radiance convolved with the cosine (Ramamoorthi, Hanrahan)."""
    return (
        sh[0, c] * 0.886227 + 1.023328 * (sh[1, c] * y + sh[2, c] * z + sh[3, c] * x)
        + 0.858086 * (sh[4, c] * x * y + sh[5, c] * y * z + sh[7, c] * x * z)
        + sh[6, c] * (0.743125 * z * z - 0.247708) + 0.429043 * sh[8, c] * (x * x - y * y)
    )  # fmt: skip


@njit(**FAST)
def _unit(x, y, z):  # type: ignore[no-untyped-def]
    norm = 1.0 / math.sqrt(x * x + y * y + z * z + 1e-12)
    return x * norm, y * norm, z * norm


@njit(**FAST)
def _squared(value, times):  # type: ignore[no-untyped-def]
    """value ** (2 ** times)."""
    for _ in range(times):
        value = value * value
    return value


@njit(**FAST)
def _blend(values, i, a, b, axis, corners):  # type: ignore[no-untyped-def]
    return a * values[corners[i, 0], axis] + b * values[corners[i, 1], axis] + (1 - a - b) * values[corners[i, 2], axis]


@njit(**FAST)
def _texel(texture, u, v, out) -> None:  # type: ignore[no-untyped-def]
    height, width = texture.shape[0], texture.shape[1]
    x = min(max(u * width - 0.5, 0.0), width - 1.001)
    y = min(max((1.0 - v) * height - 0.5, 0.0), height - 1.001)
    i, j = int(y), int(x)
    fy, fx = y - i, x - j
    for c in range(4):
        upper = texture[i, j, c] * (1 - fx) + texture[i, j + 1, c] * fx
        lower = texture[i + 1, j, c] * (1 - fx) + texture[i + 1, j + 1, c] * fx
        out[c] = upper * (1 - fy) + lower * fy


@njit(**FAST)
def _slope(grain, x, y, z):  # type: ignore[no-untyped-def]
    """Gradient of trilinear noise."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    u, v, w = x - i, y - j, z - k
    i0, j0, k0 = int(i) & 63, int(j) & 63, int(k) & 63
    i1, j1, k1 = (i0 + 1) & 63, (j0 + 1) & 63, (k0 + 1) & 63
    a, b, c, d = grain[i0, j0, k0], grain[i1, j0, k0], grain[i0, j1, k0], grain[i1, j1, k0]
    e, f, g, h = grain[i0, j0, k1], grain[i1, j0, k1], grain[i0, j1, k1], grain[i1, j1, k1]
    gx = ((b - a) * (1 - v) + (d - c) * v) * (1 - w) + ((f - e) * (1 - v) + (h - g) * v) * w
    gy = ((c - a) * (1 - u) + (d - b) * u) * (1 - w) + ((g - e) * (1 - u) + (h - f) * u) * w
    gz = ((e - a) * (1 - u) + (f - b) * u) * (1 - v) + ((g - c) * (1 - u) + (h - d) * u) * v
    return gx, gy, gz


@njit(**FAST)
def _lit(x, y, z, hair, shadow, jitter):  # type: ignore[no-untyped-def]
    """Share of the first lamp that arrives: nine taps of its depth; hair lets light in by depth."""
    axes, place, size = shadow.axes, shadow.place, shadow.depth.shape[0]
    lx = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
    ly = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
    lz = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z
    column, row = (lx - place[0]) * place[2], (ly - place[1]) * place[2]
    total = 0.0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            i, j = int(row + dy * 1.9 + jitter), int(column + dx * 1.9 - jitter)
            if i < 0 or j < 0 or i >= size or j >= size:
                total += 1.0
                continue
            behind = lz - shadow.depth[i, j] - (0.15 if hair else 0.35)
            if hair:
                total += math.exp(-min(max(behind, 0.0), 8.0) * 0.55)
            else:
                total += 1.0 if behind < 0 else math.exp(-behind * 4.0)
    return total / 9.0


@njit(**FAST)
def _eye(x, y, z, rx, ry, look, albedo) -> None:  # type: ignore[no-untyped-def]
    """Iris with fibers and a dark rim around the gaze, sclera reddening away from it."""
    e = 0 if rx > 0 else 1
    dx, dy, dz = _unit(x - look.eyes[e, 0], y - look.eyes[e, 1], z - look.eyes[e, 2])
    cosine = dx * look.gaze[e, 0] + dy * look.gaze[e, 1] + dz * look.gaze[e, 2]
    r = math.acos(min(max(cosine, -1.0), 1.0)) / look.iris[0]
    if r >= 1.0:
        g = min(1.0, (r - 1.0) * 0.45)
        albedo[0], albedo[1], albedo[2] = 0.54 - 0.06 * g, 0.47 - 0.12 * g, 0.44 - 0.13 * g
        return
    turn = math.atan2(ry - 3.6, abs(rx) - 3.2)
    fibers = 0.75 + 0.25 * math.sin(turn * 31 + 3 * math.sin(turn * 7)) + 0.18 * math.sin(turn * 57 + 1.3)
    bright = (0.55 + 0.6 * fibers * (1 - abs(r - 0.6))) * (min(1.0, (1.0 - r) * 5.0) * 0.75 + 0.25)
    open_ = min(max((r / look.iris[1] - 0.95) / 0.13, 0.0), 1.0)
    rim = min((1.0 - r) * 12.0, 1.0)
    for c in range(3):
        albedo[c] = (look.iris[2 + c] * bright * open_ + 0.004 * (1 - open_)) * rim + 0.45 * (1 - rim)


@njit(**FAST)
def _cloth(rx, ry, rz, cloth, grain, albedo) -> None:  # type: ignore[no-untyped-def]
    pattern, f = int(cloth[6]), cloth[7]
    second = False
    if pattern == 1:
        second = math.sin(ry * f) > 0.2
    elif pattern == 2:
        second = math.sin(rx * f) * math.sin(ry * f) > 0
    elif pattern == 3:
        second = abs(rx) < f
    weave = 0.86 + 0.28 * grain[int(abs(rx) * 23) & 63, int(abs(ry) * 23) & 63, int(abs(rz) * 23) & 63]
    for c in range(3):
        albedo[c] = cloth[3 + c if second else c] * weave


@njit(**FAST)
def _hair(p, t, v, base, share, light, out) -> None:  # type: ignore[no-untyped-def]
    """Kajiya-Kay: sin of the angle to the light, two highlights; half of the roundness is the head's, half the strand's."""
    lamps, lit, ao = light
    d = t[0] * v[0] + t[1] * v[1] + t[2] * v[2]
    hx, hy, hz = _unit(v[0] - d * t[0], v[1] - d * t[1], v[2] - d * t[2])
    ox, oy, oz = _unit(p[0], max(p[1] - 4.0, 0.0), p[2] - 0.5)
    nx, ny, nz = _unit(0.45 * hx + 0.55 * ox, 0.45 * hy + 0.55 * oy, 0.45 * hz + 0.55 * oz)
    dim = ao * (0.6 + 0.4 * min(1.0, share * 2.5))
    for c in range(3):
        out[c] = base[c] * max(0.0, irradiance(nx, ny, nz, lamps.ambient, c)) * dim * 0.9
    for lamp in range(3):
        lx, ly, lz = lamps.directions[lamp, 0], lamps.directions[lamp, 1], lamps.directions[lamp, 2]
        arriving = lit if lamp == 0 else 0.45 + 0.55 * lit
        along = t[0] * lx + t[1] * ly + t[2] * lz
        wrap = max(0.0, (nx * lx + ny * ly + nz * lz + 0.4) / 1.4)
        mx, my, mz = _unit(lx + v[0], ly + v[1], lz + v[2])
        sine = math.sqrt(max(0.0, 1 - (t[0] * mx + t[1] * my + t[2] * mz) ** 2))
        sharp, wide = _squared(sine, 6), _squared(sine, 4)
        diffuse = 0.75 * math.sqrt(max(0.0, 1 - along * along))
        for c in range(3):
            out[c] += lamps.colors[lamp, c] * arriving * wrap * dim * (base[c] * (diffuse + 0.28 * wide) + 0.022 * sharp)


@njit(**FAST)
def _solid(m, n, v, albedo, shine, light, out) -> None:  # type: ignore[no-untyped-def]
    """Every other material: diffuse (wrapped on skin and in the mouth), a highlight, and the sky's reflection."""
    lamps, lit, ao = light
    skin, eye = m in (SKIN, SCALP), m == EYE
    soft = eye or m in (TEETH, GUM, MOUTH, TONGUE)
    ndv = max(n[0] * v[0] + n[1] * v[1] + n[2] * v[2], 0.0)
    fresnel = 0.04 + 0.96 * _squared(1 - ndv, 2) * (1 - ndv)
    for c in range(3):
        sky = irradiance(n[0], n[1], n[2], lamps.ambient, c)
        if skin:
            sky = sky * (0.8 + 0.2 * (ao if c > 0 else math.sqrt(ao)))
        out[c] = albedo[c] * max(sky, 0.0) * (ao ** (0.75 if c == 0 else 0.95) if skin else ao)
        if skin:
            out[c] += 0.10 * fresnel * shine * ao * max(0.0, sky)
    for lamp in range(3):
        lx, ly, lz = lamps.directions[lamp, 0], lamps.directions[lamp, 1], lamps.directions[lamp, 2]
        ndl = n[0] * lx + n[1] * ly + n[2] * lz
        arriving = lit if lamp == 0 else 0.35 + 0.65 * ao
        hx, hy, hz = _unit(lx + v[0], ly + v[1], lz + v[2])
        ndh = max(0.0, n[0] * hx + n[1] * hy + n[2] * hz)
        gloss = 0.0
        if ndl > 0:
            gloss = (
                shine
                * (0.5 + 3 * fresnel)
                * (0.10 * _squared(ndh, 4) + 0.22 * _squared(ndh, 6))
                * min(1.0, ndl * 3)
                * arriving
                * ao
            )
        if eye and ndl > -0.1:
            gloss += 2.5 * _squared(ndh, 9) + 0.10 * _squared(ndh, 7)
        for c in range(3):
            if skin:
                wrap = 0.42 if c == 0 else (0.16 if c == 1 else 0.09)
                through = arriving if c > 0 else 0.85 * arriving + 0.15 * math.sqrt(arriving)
                out[c] += lamps.colors[lamp, c] * (
                    albedo[c] * max(0.0, (ndl + wrap) / (1 + wrap)) * through * (0.6 + 0.4 * ao) + gloss
                )
            else:
                diffuse = max(0.0, (ndl + 0.3) / 1.3) * ao if soft else max(0.0, ndl)
                out[c] += lamps.colors[lamp, c] * (albedo[c] * diffuse * arriving + gloss)
    if eye:
        rx, ry, rz = 2 * ndv * n[0] - v[0], 2 * ndv * n[1] - v[1], 2 * ndv * n[2] - v[2]
        for c in range(3):
            out[c] += (0.008 + 0.12 * fresnel) * max(0.0, irradiance(rx, ry, rz, lamps.ambient, c)) * ao


@njit(**FAST)
def _surface_color(m, u, v, p, q, look, albedo) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Fills albedo [4]; returns how strongly it shines and a factor of its occlusion."""
    if m in (SKIN, SCALP):
        if m == SKIN:
            _texel(look.face, u, v, albedo)
        else:
            _texel(look.scalp, u - 1.0, v, albedo)
        return albedo[3], 1.0
    if m == EYE:
        _eye(p[0], p[1], p[2], q[0], q[1], look, albedo)
        return 0.0, 1.0
    if m == CLOTH:
        _cloth(q[0], q[1], q[2], look.cloth, look.grain, albedo)
        return 0.02, 1.0
    if m == FRAME:
        albedo[0], albedo[1], albedo[2] = q[0], q[1], q[2]
        return 0.8, 1.0
    if m == TEETH:
        albedo[0], albedo[1], albedo[2] = 0.62, 0.57, 0.49
        return 0.5, min(max((q[2] - 4.5) * 0.2, 0.1), 1.0)
    if m == GUM:
        albedo[0], albedo[1], albedo[2] = 0.42, 0.12, 0.11
        return 0.6, min(max((q[2] - 3.5) * 0.17, 0.12), 1.0)
    if m == TONGUE:
        bumpy = 0.85 + 0.3 * look.grain[int(abs(q[0]) * 9) & 63, int(abs(q[1]) * 9) & 63, int(abs(q[2]) * 9) & 63]
        albedo[0], albedo[1], albedo[2] = 0.46 * bumpy, 0.17 * bumpy, 0.16 * bumpy
        return 0.5, min(max((q[2] - 2.5) * 0.14, 0.1), 0.85) * (1 - 0.35 * math.exp(-q[0] * q[0] * 12))
    albedo[0], albedo[1], albedo[2] = 0.22, 0.05, 0.045
    return 0.3, 0.7


@njit(**FAST)
def _fold(n, q) -> None:  # type: ignore[no-untyped-def]
    """Turns a normal of cloth as folds at rest position q do."""
    n[0] += 0.16 * math.sin(q[0] * 0.55 + 1.7 * math.sin(q[1] * 0.35 + q[2] * 0.2))
    n[1] += 0.10 * math.sin(q[1] * 0.9 + 1.3 * math.sin(q[0] * 0.45))
    n[2] += 0.12 * math.sin(q[2] * 0.6 + q[0] * 0.3)


@njit(**FAST)
def _roughen(n, q, look) -> None:  # type: ignore[no-untyped-def]
    """Turns a normal of skin against the slope of two octaves of noise: the relief of pores and fine lines."""
    for octave in range(2):
        f, depth = (2.3, 0.10) if octave == 0 else (6.1, 0.07)
        gx, gy, gz = _slope(look.grain, q[0] * f + 40, q[1] * f + 40, q[2] * f + 40)
        along = gx * n[0] + gy * n[1] + gz * n[2]
        n[0] -= look.relief * depth * (gx - along * n[0])
        n[1] -= look.relief * depth * (gy - along * n[1])
        n[2] -= look.relief * depth * (gz - along * n[2])


@njit(**FAST)
def _sample(hit, scene, jitter, work, out):  # type: ignore[no-untyped-def]
    """Color of a hit (triangle, weights of its first two corners) into out [3]; returns its part. work [5,4] holds vectors."""
    (t, a, b), (surface, look, lamps, shadow, eye) = hit, scene
    p, n, q, v, albedo = work[0], work[1], work[2], work[3], work[4]
    corners, c = surface.faces, 1 - a - b
    i, j, k = corners[t, 0], corners[t, 1], corners[t, 2]
    for axis in range(3):
        p[axis] = _blend(surface.points, t, a, b, axis, corners)
        n[axis] = _blend(surface.normals, t, a, b, axis, corners)
        q[axis] = _blend(surface.rest, t, a, b, axis, corners)
    n[0], n[1], n[2] = _unit(n[0], n[1], n[2])
    v[0], v[1], v[2] = _unit(eye[0] - p[0], eye[1] - p[1], eye[2] - p[2])
    ao = a * surface.occlusion[i] + b * surface.occlusion[j] + c * surface.occlusion[k]
    m, part = surface.material[t], surface.part[t]
    if m == HAIR:
        lit = _lit(p[0], p[1], p[2], True, shadow, jitter)
        _hair(p, n, v, q, _blend(surface.uv, t, a, b, 0, corners), (lamps, lit, ao), out)
        return part
    skin = m in (SKIN, SCALP)
    if skin and a * surface.edge[i] + b * surface.edge[j] + c * surface.edge[k] > 0:
        m, part, skin = CLOTH, CLOTH_PART, False
    if m == CLOTH:
        _fold(n, q)
    elif skin:
        _roughen(n, q, look)
    n[0], n[1], n[2] = _unit(n[0], n[1], n[2])
    if n[0] * v[0] + n[1] * v[1] + n[2] * v[2] < 0:
        n[0], n[1], n[2] = -n[0], -n[1], -n[2]
    u, w = _blend(surface.uv, t, a, b, 0, corners), _blend(surface.uv, t, a, b, 1, corners)
    shine, factor = _surface_color(m, u, w, p, q, look, albedo)
    ao *= factor
    if m == EYE:  # the lids' shade on the ball
        ao *= min(1.0, max(0.22, 0.92 - 1.6 * max(0.0, n[1]) - 1.1 * max(0.0, abs(n[0]) - 0.33)))
    _solid(m, n, v, albedo, shine, (lamps, _lit(p[0], p[1], p[2], False, shadow, jitter), ao), out)
    return part


@njit(**FAST)
def shade(hits, scene, samples, canvas) -> None:  # type: ignore[no-untyped-def]
    """Resolve hits of samples x samples rays a pixel into the canvas."""
    (nearest, triangle, first, second), (color, depth, part) = hits, canvas
    work, out, votes = np.zeros((5, 4)), np.zeros(3), np.zeros(19, np.int32)
    total = samples * samples
    for row in range(color.shape[0]):
        for column in range(color.shape[1]):
            votes[:] = 0
            count, away = 0, 0.0
            for sample in range(total):
                y, x = row * samples + sample // samples, column * samples + sample % samples
                t = triangle[y, x]
                if t < 0:
                    continue
                jitter = ((x * 7 + y * 3) & 3) * 0.3 - 0.45
                found = _sample((t, first[y, x], second[y, x]), scene, jitter, work, out)
                votes[found] += 1
                count += 1
                away += 1.0 / nearest[y, x]
                for c in range(3):
                    color[row, column, c] += out[c] / total
            if count == 0:
                continue
            color[row, column, 3] = count / total
            depth[row, column] = away / count
            if 2 * count >= total:
                best = 0
                for k in range(19):
                    if votes[k] > votes[best]:
                        best = k
                part[row, column] = best
