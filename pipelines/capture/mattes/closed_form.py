"""Closed-form matting (Levin, Lischinski, Weiss 2008): a rough mask becomes an alpha that follows single strands of hair.

Notable choices: the system is built with numpy and solved by conjugate gradients, only in a band around the mask's border;
pymatting, which solves the same one, compiles for a minute on its first import. A window has 45 pairs of pixels; each pair is
one sum over all windows, collected by how far apart its two pixels are, so the matrix comes out in rows and nothing is sorted.
The rough mask stays in the system with a small weight, so that the solution exists and stays near it where colors say nothing.
"""

from typing import Any

import numpy as np

WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
STEPS = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
"""Rows down and columns right, of the pixels of a window from its center, and of pixels that share a window."""
BAND_PX = (5, 7)
"""At 512 px: the border of the mask is open so far inward and outward."""
SURE = (0.3, 0.7)
"""Mask values below and above which a pixel away from the border is known."""
FLATNESS = 1e-6
"""Epsilon of Levin's eq. 12, for colors in 0..1: how far from a line the colors of a window may lie."""
MASK_WEIGHT = 1e-4
"""Of the rough mask inside the band."""
HAZE = 0.13
"""Alpha below this, or above one minus this, is made certain."""
TOLERANCE, MOST_ROUNDS = 1e-3, 100
"""The residual at which conjugate gradients stop, over the first one, and their number."""


def closed_form(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """float32 [H,W] alpha of uint8 RGB [H,W,3] near the soft `mask` [H,W] in 0..1.

    It minimizes a' L a + MASK_WEIGHT |a - mask|^2 over the open pixels of the trimap, the others being 0 or 1, where L is the
    matting Laplacian. A mask that is open or known everywhere comes back as it is.
    """
    known = trimap(mask)
    is_open = known == 0.5
    if not is_open.any() or is_open.all():
        return mask.astype(np.float32)
    alpha = known.copy()
    alpha[is_open] = _solved(image, mask, known)
    return np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0, 1).astype(np.float32)


def trimap(mask: np.ndarray) -> np.ndarray:
    """[H,W] 1 where surely the person, 0 where surely not, 0.5 in between."""
    import cv2

    inward, outward = (max(1, round(px * max(mask.shape) / 512)) for px in BAND_PX)
    inside = cv2.erode((mask > SURE[1]).astype(np.uint8), _disk(inward))
    outside = cv2.erode((mask < SURE[0]).astype(np.uint8), _disk(outward))
    return np.where(inside > 0, 1.0, np.where(outside > 0, 0.0, 0.5))


def laplacian(image: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """[25,U] rows of the matting Laplacian (eq. 12) for the U pixels where `is_open` [H,W], from all windows they lie in.

    Row o holds L between each pixel and the one STEPS[o] = (dy, dx) away; a 3x3 window adds to two of its pixels i, j
    [i = j] - (1 + (I_i - mean)' (covariance + FLATNESS / 9)^-1 (I_j - mean)) / 9. Over all o a pixel's row sums to 0.
    """
    width, pixels, number = image.shape[1], image.reshape(-1, 3), _numbered(is_open)
    centers = _windows(is_open)
    places = [centers + dy * width + dx for dy, dx in WINDOW]
    colors = np.stack([pixels[place].T for place in places]) / 255.0
    colors -= colors.mean(0)
    spread = np.einsum("ick,idk->cdk", colors, colors) / 9 + FLATNESS / 9 * np.eye(3)[..., None]
    turned = np.einsum("cdk,idk->ick", _inverse(spread) / 9, colors)
    rows = [number[place] for place in places]
    result = np.zeros((len(STEPS), int(is_open.sum()) + 1))  # the last one is for all that is not open
    for i, (y, x) in enumerate(WINDOW):
        for j, (v, u) in enumerate(WINDOW[i:], i):
            part = (i == j) - 1 / 9 - np.einsum("ck,ck->k", turned[i], colors[j])
            result[STEPS.index((v - y, u - x)), rows[i]] += part
            if i != j:
                result[STEPS.index((y - v, x - u)), rows[j]] += part
    return result[:, :-1]


def _windows(is_open: np.ndarray) -> np.ndarray:
    """[K] numbers of the pixels whose 3x3 window lies in the picture and holds an open pixel."""
    import cv2

    near = cv2.dilate(is_open.astype(np.uint8), np.ones((3, 3), np.uint8))
    near[[0, -1]] = near[:, [0, -1]] = 0
    return np.flatnonzero(near)


def _numbered(is_open: np.ndarray) -> np.ndarray:
    """int [H*W] 0 to U - 1 where open, U elsewhere."""
    count = int(is_open.sum())
    number = np.full(is_open.size, count)
    number[is_open.ravel()] = np.arange(count)
    return number


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Of symmetric [3,3,K], by cofactors."""
    (a, b, c), (_, d, e), (_, _, f) = matrix
    xx, xy, xz, yy, yz, zz = d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) / (a * xx + b * xy + c * xz)


def _solved(image: np.ndarray, mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[U] the open pixels' alpha."""
    from scipy import sparse

    is_open, width = known == 0.5, image.shape[1]
    parts, places = laplacian(image, is_open), np.flatnonzero(is_open)
    others = places + np.array([[dy * width + dx] for dy, dx in STEPS])
    others = np.where(parts != 0, others, places)  # beyond the picture nothing is added
    number, value = _numbered(is_open)[others], known.ravel()[others]
    inside = (value == 0.5) & (parts != 0)
    ends = np.concatenate([[0], np.cumsum(inside.sum(0))])
    system = sparse.csr_matrix((parts.T[inside.T], number.T[inside.T], ends), (len(places), len(places)))
    start = mask.ravel()[places].astype(np.float64)
    right = MASK_WEIGHT * start - np.where(inside, 0.0, parts * value).sum(0)
    return np.clip(_conjugate_gradients(system, parts[len(STEPS) // 2] + MASK_WEIGHT, right, start), 0, 1)


def _conjugate_gradients(system: Any, diagonal: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    """x of (L + MASK_WEIGHT) x = right, scaled by the `diagonal`, until the residual is TOLERANCE of the right side."""
    x, left = start, right - system @ start - MASK_WEIGHT * start
    goal = TOLERANCE * float(np.linalg.norm(right))
    toward = scaled = left / diagonal
    size = float(left @ scaled)
    for _ in range(MOST_ROUNDS):
        if float(np.linalg.norm(left)) <= goal:
            break
        moved = system @ toward + MASK_WEIGHT * toward
        step = size / float(toward @ moved)
        x, left = x + step * toward, left - step * moved
        scaled = left / diagonal
        size, before = float(left @ scaled), size
        toward = scaled + size / before * toward
    return x


def _disk(radius: int) -> np.ndarray:
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
