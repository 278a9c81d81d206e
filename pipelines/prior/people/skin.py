"""Skin as textures: base color times exp(tints of places), hair shadow on the scalp, stubble, moles; and how it shines."""

import cv2
import numpy as np

from pipelines.prior.people.numbers import limit_color, smooth
from pipelines.prior.people.regions import SkinMap
from pipelines.prior.people.traits import Traits

COVER = {"bald": 0.10, "buzz": 0.80, "balding": 0.80}
"""How much of the scalp's color is hair; under other styles nearly all."""


def paint_skin(traits: Traits, maps: SkinMap, face: bool) -> np.ndarray:
    """[R,R,4] linear color and strength of the shine."""
    random = np.random.default_rng([traits.seed, 1 if face else 2])
    strength = 0.75 - 0.4 * traits.tone / 7
    tints = _tints(traits, np.random.default_rng([traits.seed, 3]))
    columns = np.array([tints.get(name, (0, 0, 0)) for name in maps.names], np.float32) * np.float32(strength)
    size = len(maps.scalp)
    color = np.exp(maps.values @ columns).reshape(size, size, 3) * traits.skin.astype(np.float32)
    if face:
        for _ in range(traits.moles):
            place = int(random.uniform(0.25, 0.75) * size), int(random.uniform(0.3, 0.85) * size)
            cv2.circle(color, place, max(1, size // 300), tuple(map(float, traits.skin * 0.35)), -1, cv2.LINE_AA)
    color = _with_hair_roots(color, traits, maps)
    shine = (
        (0.45 + 0.25 * maps["nose"] + 0.2 * maps["forehead"] + 0.1 * maps["cheek"]) * traits.oily * (1 + 0.12 * maps["fine"])
    )
    shine = shine * (1 - 0.8 * smooth(-0.2, 0.6, maps.scalp)) + maps["lips"] * (0.9 if traits.makeup else 0.5)
    return np.concatenate([np.clip(color, 0.003, 0.95), np.clip(shine, 0, 2)[..., None]], -1).astype(np.float32)


def _tints(traits: Traits, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Log color of each place relative to the base, before the strength that dark skin lowers."""
    old, ruddy = max(0.0, traits.age - 0.3), traits.ruddy
    shadow = {"stubble": 1.0, "full": 0.9}.get(traits.beard, 0.12) * (not traits.feminine)
    tints = {
        "cheek": np.array([0.03, -0.17, -0.14]) * ruddy, "nose": np.array([0.02, -0.17, -0.13]) * ruddy,
        "chin": np.array([0.0, -0.10, -0.08]) * ruddy, "forehead": (0.03, 0.02, 0.02), "neck": (-0.04, -0.06, -0.06),
        "ear": np.array([0.02, -0.22, -0.18]) * ruddy, "under_eye": np.array([-0.12, -0.2, -0.14]) * (0.35 + traits.age),
        "lid": (-0.08, -0.14, -0.10), "eye_corner": (0.0, -0.35, -0.25), "nostril": (-0.5, -0.9, -0.9),
        "fold": np.array([-0.08, -0.14, -0.12]) * (0.2 + traits.age), "lip_edge": (-0.05, -0.10, -0.08),
        "lips": traits.lips / (0.75 - 0.4 * traits.tone / 7), "beard": np.array([-0.34, -0.30, -0.22]) * shadow,
        "furrows": np.array([-0.10, -0.15, -0.15]) * old * 1.8, "crow": np.array([-0.12, -0.18, -0.18]) * old * 1.5,
        "liner": np.array([-0.9, -1.05, -1.0]) * (2.0 if traits.makeup else 1.25), "low": (0.045, 0.065, 0.055),
        "middle": (0.03, 0.05, 0.045), "fine": (0.02, 0.028, 0.028),
        "freckles": np.array([-0.25, -0.42, -0.5]) * traits.freckles,
    }  # fmt: skip
    if traits.makeup:
        tints |= {"lid": random.normal(-0.25, 0.2, 3), "cheek": np.array([0.07, -0.25, -0.13])}
    return {name: np.asarray(tint, np.float32) for name, tint in tints.items()}


def _with_hair_roots(color: np.ndarray, traits: Traits, maps: SkinMap) -> np.ndarray:
    cover = COVER.get(traits.hairstyle, 0.985)
    grain = np.clip(maps["fine"], -1, 1) * (0.9 if traits.hairstyle in ("buzz", "bald") else 0.4)
    cover = np.clip(smooth(-0.25, 0.75, maps.scalp) * cover * (0.8 + 0.2 * grain), 0, 1)
    if traits.hairstyle == "balding":
        cover = cover * smooth(8.6, 7.4, maps.height)
    color = _mixed(color, limit_color(traits.hair, 0.3) * 0.55 + traits.skin * 0.04, cover)
    if traits.beard == "stubble":
        return _mixed(color, limit_color(traits.hair, 0.1), maps["beard"] * (0.18 + 0.22 * np.clip(maps["fine"], -1, 1.5)))
    if traits.beard == "full":
        return _mixed(color, limit_color(traits.hair, 0.2) * 0.8, maps["beard"] * 0.6)
    return color


def _mixed(color: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)[..., None]
    return color * (1 - share) + other.astype(np.float32) * share
