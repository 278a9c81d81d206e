"""How well explicit codes are obeyed: what was asked of a generator, and what is measured of its pictures again (3DFaceShop,
arXiv 2209.05434, sections 5.4.2 and 5.4.3, eq. 25; spec 14).

The paper names neither norm nor units. Ours: mean squared differences of coefficients as the face model has them, angles in
radians; disentanglement averages over coefficients and groups. Who measures must not have taught, or the score is circular.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DEFINITIONS = {
    "aed": "mean squared difference of expression coefficients between what was asked and what is measured; 0 is exact",
    "apd": "the same of pitch, yaw and roll in radians",
    "aid": "the same of the light's spherical harmonics",
    "disentanglement": "of a factor: the product over the others of its own spread when it alone is varied over theirs when "
    "they are not, each over the spread in real pictures; 1 is a generator that mixes everything",
    "identity_similarity": "mean cosine of a face recognizer's descriptions of pictures of one person under changed codes",
}


@dataclass(frozen=True, kw_only=True)
class ControlErrors:
    """Average expression, pose and illumination distance."""

    aed: float
    apd: float
    aid: float


def control_errors(asked: Mapping[str, np.ndarray], measured: Mapping[str, np.ndarray]) -> ControlErrors:
    """Of `expression` [N,E], `pose` [N,3] and `light` [N,27] that were asked of N pictures and measured in them."""
    aed, apd, aid = (mean_squared(asked[name], measured[name]) for name in ("expression", "pose", "light"))
    return ControlErrors(aed=aed, apd=apd, aid=aid)


def mean_squared(asked: np.ndarray, measured: np.ndarray) -> float:
    """Mean of (asked - measured)^2 over pictures and coefficients [N,D]; ValueError where their shapes differ.

    Asked (0, 1), measured (0, 3): 2.
    """
    if asked.shape != measured.shape:
        raise ValueError(f"asked are {asked.shape} coefficients, measured {measured.shape}")
    return float(np.mean((asked.astype(np.float64) - measured) ** 2))


def spread(measured: np.ndarray, reference: np.ndarray) -> float:
    """How far measured coefficients [G,K,D] of K variants in each of G groups vary, over the variance in reference [M,D]: the
    mean over coefficients of the mean over groups of the variance within a group.

    Variants that are as different as the reference's people: 1.
    """
    within = measured.astype(np.float64).var(axis=1).mean(axis=0)
    return float(np.mean(within / reference.astype(np.float64).var(axis=0)))


def spreads(
    measured: Mapping[str, Mapping[str, np.ndarray]], reference: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """The `spread` of each measured factor, by the factor that was varied."""
    return {varied: {name: spread(rows, reference[name]) for name, rows in of.items()} for varied, of in measured.items()}


def disentanglement(spread_of: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Score of each factor i: prod over j != i of s_i / s_j, spreads measured while i alone is varied (eq. 25).

    Varied light moves its own coefficients by 0.9, pose and expression by 0.3 and 0.1: 3 * 9 = 27.
    """
    return {
        varied: float(np.prod([of[varied] / value for name, value in of.items() if name != varied]))
        for varied, of in spread_of.items()
    }


def identity_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Mean cosine of descriptions [N,D] of two pictures each of N persons."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.mean((first * second).sum(1) / np.maximum(lengths, 1e-12)))
