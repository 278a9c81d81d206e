"""Is the mark in a video, and which? The original is not needed.

Frames are flattened (what is left of brightness without its neighborhood's, over the neighborhood's variance), averaged over
time, whitened (`pipelines.provenance.whitening`), and correlated with the code at every scale and shift:

    z = sum_k w_k cos(arg F_k + 2 pi k . d / T - theta_k) / sqrt(sum_k w_k^2 / 2),

F_k being the average's Fourier sum at the frequency k / (scale T), d the shift, w_k >= 0 any weights that depend on F alone.

Why the false alarms are what they are said to be: the phases theta are uniform and independent of a foreign picture, whatever
it shows. E exp(t cos theta) = I0(t) <= exp(t^2 / 4), so P(z >= c) <= exp(-c^2 / 2) for each scale, shift and payload, and by
the union bound the probability that any of them reaches z is at most tests * 2^32 * exp(-z^2 / 2). Found means: at most 1e-6.
With 5e6 tests that is z >= 10.1.

How strong the mark is from pixel to pixel need not be known: one of even strength, as earlier versions made it, is found too.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.provenance.mark import BAND, TILE_PX, Code, code, pixel_centers, scale_of
from pipelines.provenance.masking import strength
from pipelines.provenance.whitening import whiten

FALSE_ALARM = 1e-6
"""Probability that a foreign video is called marked."""
LONGEST_PX = 640
"""Larger pictures are scaled down before they are searched."""
FRAMES = 120
"""As many are looked at, evenly spread."""
SCALES = np.exp(np.arange(math.log(0.28), math.log(2.6), 0.007))
"""Sizes of the pattern that are tried, in the searched picture: steps of 0.7 percent."""
CELLS = 128
"""Shifts that are tried along a tile's side: steps of 1.8 pixels."""
CANDIDATES = 8
FINE_SCALES, FINE_SHIFTS = np.linspace(-0.005, 0.005, 9), np.linspace(-0.75, 0.75, 7)
"""Around the best candidates: relative scales, and shifts in cells."""
SURE = 1.5
"""By how much the z of a code word must exceed the next one's."""
NEIGHBORHOOD_PX, FLOOR = 2.0, 1.5
"""Radius of the neighborhood, and gray levels that are noise anyway."""
PLACE = 1.0
"""Gray levels of the mark from which on a pixel counts as a place for it."""
NEAR = 0.02
"""Scales this near to that of an untouched render are tried first; the others only where the mark is not plain there."""
PLAIN = 1e-12
TESTS = len(SCALES) * CELLS**2 + CANDIDATES * len(FINE_SCALES) * len(FINE_SHIFTS) ** 2


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a search has found."""

    found: bool
    payload: str | None
    """8 hexadecimal digits: the beginning of the avatar's id; None when not found."""
    sure: bool
    """No other payload is nearly as likely."""
    z: float
    false_alarm: float
    """Upper bound of the probability that a foreign video reaches this z anywhere."""
    scale: float
    """Size of the pattern in the searched picture, see pipelines.provenance.mark.scale_of."""
    frames: int
    texture: float = 0.0
    """Share of the pixels in which a mark of a gray level or more hides; where it is about 0 there may be none to find."""

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "confidence": 1.0 - self.false_alarm}


def find_in_video(path: Path) -> Finding:
    """Search the frames of a video; UnusableMaterial when it is none."""
    from pipelines.media.video import probe, read_frames

    step = max(1, math.ceil(probe(path).frames / FRAMES))
    frames = read_frames(path, longest_side_px=LONGEST_PX, wanted=lambda index, time_s: index % step == 0)
    return find_mark(frame.image for frame in frames)


def find_mark(images: Iterable[np.ndarray]) -> Finding:
    """Search uint8 pictures [H,W,3] or [H,W] of one size."""
    total, texture, count = np.zeros(()), 0.0, 0
    for image in images:
        gray = searched(image)
        total = total + flatten_brightness(gray)
        texture += float((strength(gray) >= PLACE).mean())
        count += 1
    if not count:
        return Finding(found=False, payload=None, sure=False, z=0.0, false_alarm=1.0, scale=1.0, frames=0)
    return replace(search(whiten(total / count), count), texture=texture / count)


def searched(image: np.ndarray) -> np.ndarray:
    """uint8 [h,w]: gray, and no longer than LONGEST_PX."""
    import cv2

    if image.ndim == 3:
        image = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    scale = LONGEST_PX / max(image.shape)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def flatten_brightness(gray: np.ndarray) -> np.ndarray:
    """float32 [H,W]: brightness less its neighborhood's mean, over the variance there, which keeps edges small."""
    import cv2

    bright = gray.astype(np.float32)
    detail = bright - cv2.GaussianBlur(bright, (0, 0), NEIGHBORHOOD_PX)
    return detail / (cv2.GaussianBlur(detail * detail, (0, 0), NEIGHBORHOOD_PX) + FLOOR**2)


def search(flat: np.ndarray, frames: int = 1) -> Finding:
    """The likeliest scale, shift and payload in an average of flattened pictures [H,W]."""
    untouched = np.abs(np.log(SCALES / scale_of(*flat.shape))) < NEAR
    first = _among(flat, SCALES[untouched], frames)
    if first.false_alarm < PLAIN:
        return first
    return max(first, _among(flat, SCALES[~untouched], frames), key=lambda finding: finding.z)


def _among(flat: np.ndarray, scales: np.ndarray, frames: int) -> Finding:
    known = code()
    peaks = []
    for scale in scales:
        surface = sync_surface(weighted_phases(flat, scale, known), known)
        place = int(surface.argmax())
        peaks.append((float(surface.flat[place]), float(scale), place))
    tried = [_closer(flat, scale, place, known) for _, scale, place in sorted(peaks)[-CANDIDATES // 2 :]]
    z, scale, payload, sure = max(tried, key=lambda one: one[0])
    alarm = min(1.0, math.exp(math.log(TESTS) + len(payload) * math.log(16) - z * z / 2))
    found = alarm <= FALSE_ALARM
    return Finding(
        found=found, payload=payload if found else None, sure=found and sure, z=z, false_alarm=alarm, scale=scale, frames=frames
    )


def weighted_phases(flat: np.ndarray, scale: float, known: Code) -> np.ndarray:
    """[N] complex w_k F_k / |F_k|, over sqrt(sum w^2 / 2). The weights even out what is strong all around a frequency."""
    height, width = flat.shape
    reach = int(BAND[1])
    across, down = np.arange(-reach, reach + 1), np.arange(reach + 1)
    turns_x = np.outer(pixel_centers(width), across * (2 * np.pi / (TILE_PX * scale))).astype(np.float32)
    turns_y = np.outer(down * (2 * np.pi / (TILE_PX * scale)), pixel_centers(height)).astype(np.float32)
    rows = np.cos(turns_y) @ flat - 1j * (np.sin(turns_y) @ flat)
    whole = rows @ (np.cos(turns_x) - 1j * np.sin(turns_x))
    values = whole[known.frequencies[:, 1], known.frequencies[:, 0] + reach]
    size = np.maximum(np.abs(values), 1e-12)
    weights = np.sqrt(np.minimum(size / ring_median(size, known), 2.0))
    return weights * values / size / np.sqrt(np.square(weights).sum() / 2)


def ring_median(size: np.ndarray, known: Code) -> np.ndarray:
    """[N] median of `size` over six rings of frequencies."""
    radius = np.hypot(*known.frequencies.T)
    ring = np.minimum((radius - BAND[0]) / (BAND[1] - BAND[0]) * 6, 5).astype(int)
    return np.array([np.median(size[ring == number]) for number in range(6)])[ring]


def sync_surface(turned: np.ndarray, known: Code) -> np.ndarray:
    """float [CELLS,CELLS] z of the fixed quarter, over sqrt(N / S), by shift."""
    count = len(known.sync)
    grid = np.zeros((CELLS, CELLS), np.complex64)
    x, y = known.frequencies[:count].T
    grid[y % CELLS, x % CELLS] = turned[:count] * np.exp(-1j * known.sync)
    return np.fft.ifft2(grid).real * CELLS**2


def _closer(flat: np.ndarray, scale: float, place: int, known: Code) -> tuple[float, float, str, bool]:
    """z of everything, scale, payload and whether it is sure, at the best place around a candidate."""
    count = len(known.sync)
    down, across = (axis.ravel() for axis in np.meshgrid(FINE_SHIFTS, FINE_SHIFTS, indexing="ij"))
    shifts = (np.stack([place % CELLS + across, place // CELLS + down]) * (2 * np.pi / CELLS)).T
    tried = []
    for fine in scale * (1 + FINE_SCALES):
        turned = weighted_phases(flat, fine, known)
        waves = np.exp(1j * shifts @ known.frequencies[:count].T)
        fits = np.real(waves @ (turned[:count] * np.exp(-1j * known.sync)))
        tried.append((float(fits.max()), float(fine), shifts[fits.argmax()], turned))
    fit, fine, shift, turned = max(tried, key=lambda one: one[0])
    z, payload, sure = _read(turned * np.exp(1j * known.frequencies @ shift), known)
    return fit + z, fine, payload, sure


def _read(aligned: np.ndarray, known: Code) -> tuple[float, str, bool]:
    """z of the best code words together, the payload, and whether every word stands out."""
    many = known.words.shape[2]
    groups = aligned[len(known.sync) :].reshape(-1, 1, many)
    fits = np.real(np.exp(-1j * known.words) * groups).sum(2)
    ranked = np.sort(fits, axis=1)
    noise = np.sqrt(many / len(aligned))
    sure = bool((ranked[:, -1] - ranked[:, -2] > SURE * noise).all())
    return float(ranked[:, -1].sum()), bytes(fits.argmax(1).astype(np.uint8)).hex(), sure
