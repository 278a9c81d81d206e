"""An invisible mark in every picture: it survives encoding again, scaling and cropping, and says which avatar was rendered.

Spread spectrum in brightness: the picture gets the sum of N cosines of mid frequencies,

    p(x, y) = a sum_k cos(2 pi (k . (x, y)) / T + theta_k),    k = (kx, ky), 6 <= |k| <= 28, T = 232 pixels,

so the pattern repeats every 232 pixels and a crop is a shift. A quarter of the phases theta is fixed and finds scale and
shift; the rest are four groups, each with the phases of one of 256 code words: 32 bits.

Notable choices:
- The pattern is as strong in a pixel as the texture there hides (`pipelines.provenance.masking`); what is flat stays as it is.
- The pattern stands still. Static regions do not shimmer, encoders carry it on at no cost, and frames add up when it is sought.
- Wavelengths of 8 to 39 pixels at 512: what encoders keep at low rates, and still 4 pixels at half the size.
- Above 512 pixels the pattern grows with the picture, so a 4K render may be scaled down as far as one of 512. Below, it shrinks
  with the root of the size: few pixels must hold enough waves.
- The phases come from SHAKE-256 of a public word. The mark tells an honest finder; it is no secret and no proof in court.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipelines.provenance.masking import strength

KEY = b"avatarcli mark 1"
TILE_PX = 232.0
"""Period of the pattern in a picture of FULL_PX; no multiple of an encoder's blocks."""
BAND = (6.0, 28.0)
"""Cycles a tile of the lowest and highest frequency."""
FULL_PX, LEAST_SCALE = 512, 0.5
GROUPS, WORDS = 4, 256


@dataclass(frozen=True)
class Code:
    """Frequencies and phases of the mark."""

    frequencies: np.ndarray
    """[N,2] whole cycles a tile, x and y; one of each pair k, -k. Sync first, then group after group."""
    sync: np.ndarray
    """[S] phases."""
    words: np.ndarray
    """[GROUPS,WORDS,M] phases; N = S + GROUPS M."""

    def phases(self, payload: str) -> np.ndarray:
        """[N] of 8 hexadecimal digits."""
        return np.concatenate([self.sync, *(self.words[group, word] for group, word in enumerate(bytes.fromhex(payload)))])


@lru_cache(maxsize=1)
def code() -> Code:
    """The one code of this version: N = 1172, S = 296, M = 219."""
    reach = int(BAND[1])
    ky, kx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    half = (ky > 0) | ((ky == 0) & (kx > 0))
    inside = half & (np.hypot(kx, ky) >= BAND[0]) & (np.hypot(kx, ky) <= BAND[1])
    found = np.stack([kx[inside], ky[inside]], axis=1)
    order = np.frombuffer(_stream(b"order", 4 * len(found)), "<u4").argsort(kind="stable")
    many = 3 * len(found) // (4 * GROUPS)
    return Code(
        frequencies=found[order],
        sync=_phases(b"sync", len(found) - GROUPS * many),
        words=_phases(b"words", GROUPS * WORDS * many).reshape(GROUPS, WORDS, many),
    )


def payload_of(fingerprint: str) -> str:
    """The 32 bits an avatar is named by: the first 8 digits of its fingerprint, which is hexadecimal."""
    return fingerprint[:8]


def scale_of(height: int, width: int) -> float:
    """Size of the pattern: 1 at 512 pixels, 2 at 1024, 0.71 at 256, 0.5 at 128 and below."""
    relative = max(height, width) / FULL_PX
    return relative if relative >= 1 else max(LEAST_SCALE, relative**0.5)


def pattern(height: int, width: int, payload: str) -> np.ndarray:
    """float32 [H,W] of rms 1, to be added to a picture's gray levels as strong as it hides."""
    known, reach = code(), int(BAND[1])
    grid = np.zeros((2 * reach + 1, 2 * reach + 1), complex)
    grid[known.frequencies[:, 1] + reach, known.frequencies[:, 0] + reach] = np.exp(1j * known.phases(payload))
    cycles = np.arange(-reach, reach + 1) / (TILE_PX * scale_of(height, width))
    waves = [np.exp(2j * np.pi * np.outer(pixel_centers(side), cycles)) for side in (height, width)]
    whole = np.real(waves[0] @ grid @ waves[1].T)
    return (whole / np.sqrt(len(known.frequencies) / 2)).astype(np.float32)


def pixel_centers(side: int) -> np.ndarray:
    """Pixel centers from the middle: of 3 pixels -1, 0, 1."""
    return np.arange(side) - (side - 1) / 2


class Marker:
    """Adds one payload's pattern to pictures where their texture hides it; patterns are made once a size."""

    def __init__(self, payload: str) -> None:
        self.payload = payload
        self.patterns: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [H,W,3], or [H,W,4] with straight alpha that stays, as stay the colors of what cannot be seen."""
        import cv2

        height, width, channels = picture.shape
        if (height, width) not in self.patterns:
            self.patterns[height, width] = pattern(height, width, self.payload)
        hidden = strength(cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY))
        added = np.rint(hidden * self.patterns[height, width]).astype(np.int16)
        layers = [added] * 3 if channels == 3 else [np.where(picture[..., 3] > 0, added, np.int16(0))] * 3 + [added * 0]
        return cv2.add(picture, cv2.merge(layers), dtype=cv2.CV_8U)


def _stream(word: bytes, count: int) -> bytes:
    return hashlib.shake_256(KEY + b"/" + word).digest(count)


def _phases(word: bytes, count: int) -> np.ndarray:
    return np.frombuffer(_stream(word, count), np.uint8) * (2 * np.pi / 256)
