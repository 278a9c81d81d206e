"""Closed-form matting (Levin, Lischinski, Weiss 2008): a rough mask becomes an alpha that follows single strands of hair.

Notable choices: the system is built with numpy and solved by conjugate gradients, only in a band around the mask's border;
pymatting, which solves the same one, compiles for a minute on its first import. The rough mask stays in the system with a
small weight, so that the solution exists and stays near it where colors say nothing.
"""

import numpy as np

BAND_PX = (5, 7)
"""At 512 px: the border of the mask is open so far inward and outward."""
SURE = (0.3, 0.7)
"""Mask values below and above which a pixel away from the border is known."""
FLATNESS = 1e-6
"""Epsilon of Levin's eq. 12, for colors in 0..1: how far from a line the colors of a window may lie."""
MASK_WEIGHT = 1e-4
"""Of the rough mask inside the band."""
HAZE = 0.1
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


def laplacian_windows(image: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel numbers [K,9] of the 3x3 windows around pixel numbers `centers` [K], and their parts [K,9,9] of L (eq. 12).

    part = 1 - (1 + (I_i - mean)' (covariance + FLATNESS / 9)^-1 (I_j - mean)) / 9; each row of a part sums to 0.
    """
    width = image.shape[1]
    windows = centers[:, None] + (np.arange(-1, 2)[:, None] * width + np.arange(-1, 2)).ravel()
    colors = (image.reshape(-1, 3).astype(np.float64) / 255)[windows]
    colors -= colors.mean(1, keepdims=True)
    spread = np.matmul(colors.transpose(0, 2, 1), colors) / 9 + FLATNESS / 9 * np.eye(3)
    affinity = 1 + np.matmul(np.matmul(colors, np.linalg.inv(spread)), colors.transpose(0, 2, 1))
    return windows, np.eye(9) - affinity / 9


def _solved(image: np.ndarray, mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[U] the open pixels' alpha."""
    import cv2
    from scipy import sparse
    from scipy.sparse.linalg import cg

    is_open = known == 0.5
    near = cv2.dilate(is_open.astype(np.uint8), np.ones((3, 3), np.uint8))
    near[[0, -1]] = near[:, [0, -1]] = 0  # windows lie inside the image
    windows, parts = laplacian_windows(image, np.flatnonzero(near))
    count = int(is_open.sum())
    number = np.full(known.size, -1)
    number[is_open.ravel()] = np.arange(count)
    unknown = number[windows]
    row, column = np.broadcast_arrays(unknown[:, :, None], unknown[:, None, :])
    both = (row >= 0) & (column >= 0)
    system = sparse.coo_matrix((parts[both], (row[both], column[both])), (count, count)).tocsr()
    system = system + MASK_WEIGHT * sparse.identity(count, format="csr")
    pull = np.matmul(parts, np.where(unknown >= 0, 0.0, known.ravel()[windows])[..., None])[..., 0]
    start = mask[is_open].astype(np.float64)
    right = MASK_WEIGHT * start - np.bincount(unknown[unknown >= 0], pull[unknown >= 0], count)
    scaling = sparse.diags(1 / system.diagonal())
    return np.clip(cg(system, right, x0=start, rtol=TOLERANCE, maxiter=MOST_ROUNDS, M=scaling)[0], 0, 1)


def _disk(radius: int) -> np.ndarray:
    import cv2

    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
