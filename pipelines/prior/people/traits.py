"""Who a person is: everything drawn by lot before anything is built, from one seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.prior.people.numbers import random_color, to_linear

TONES = (
    to_linear(
        np.array(
            [
                [240, 206, 186],
                [232, 192, 168],
                [220, 174, 146],
                [203, 153, 122],
                [176, 126, 95],
                [140, 94, 68],
                [104, 68, 50],
                [76, 50, 39],
            ]
        )
        / 255.0
    )
    * np.linspace(0.66, 0.90, 8)[:, None]
)
"""Linear skin colors, light to dark, after the usual scales of skin tone."""
HAIR_COLORS = {
    "black": (22, 18, 16), "dark brown": (46, 32, 24), "brown": (78, 54, 37), "light brown": (112, 80, 54),
    "blond": (166, 130, 84), "light blond": (198, 170, 124), "red": (128, 58, 28), "auburn": (84, 38, 24),
    "gray": (128, 126, 122), "white": (198, 196, 190), "dyed": (0, 0, 0),
}  # fmt: skip
"""sRGB; a dyed color is drawn by lot."""
IRISES = (
    (74, 46, 28), (58, 36, 22), (96, 64, 34), (104, 84, 46), (82, 102, 70), (78, 108, 132), (106, 132, 152), (94, 104, 110),
)  # fmt: skip
LONGER = {
    "bob": 0.11, "fringe": 0.08, "long": 0.17, "long wavy": 0.16, "long curly": 0.14, "ponytail": 0.11, "bun": 0.09,
    "afro": 0.06, "crop": 0.04, "mop": 0.04,
}  # fmt: skip
SHORTER = {
    "buzz": 0.13, "crop": 0.16, "side part": 0.15, "slick": 0.10, "quiff": 0.10, "curly top": 0.10, "afro": 0.07,
    "balding": 0.06, "bald": 0.05, "mop": 0.05, "long": 0.02, "bun": 0.01,
}  # fmt: skip
"""How likely the two groups of people wear which hair."""
FRAMES = ((20, 18, 18), (60, 35, 20), (120, 110, 100), (130, 20, 25), (20, 30, 70))


@dataclass(frozen=True, kw_only=True)
class Traits:
    """Colors are linear [3]."""

    seed: int
    identity: np.ndarray
    """[100] coefficients of the face model."""
    tone: float
    """0 lightest to 7 darkest."""
    skin: np.ndarray
    age: float
    """0 young to 1 old."""
    feminine: bool
    hairstyle: str
    hair_name: str
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    pupil: float
    """Share of the iris."""
    lips: np.ndarray
    """Log tint."""
    makeup: bool
    beard: str
    """none, stubble, full, goatee, moustache or chin."""
    beard_length: float
    brow_thickness: float
    brow_density: float
    brow_arch: float
    freckles: float
    ruddy: float
    oily: float
    moles: int
    cloth: np.ndarray
    """[8] two colors, pattern (0 plain, 1 stripes, 2 checks, 3 a broad stripe) and its frequency."""
    collar: int
    """0 high, 1 round, 2 V."""
    shoulders_cm: float
    glasses: bool
    lens_cm: float
    lens_square: float
    frame: np.ndarray

    def summary(self) -> dict[str, Any]:
        """What figures of bias are kept by."""
        return {
            "tone": round(self.tone, 2), "age": round(self.age, 2), "feminine": self.feminine, "hair": self.hair_name,
            "hairstyle": self.hairstyle, "beard": self.beard, "glasses": self.glasses, "makeup": self.makeup,
        }  # fmt: skip


def draw_traits(seed: int, identity_sigma: float = 0.75) -> Traits:
    """A person of a seed."""
    random = np.random.default_rng(seed)
    identity = np.clip(random.standard_normal(100), -2.3, 2.3) * identity_sigma
    tone = float(random.uniform(0, 7) if random.random() < 0.75 else random.uniform(0, 3))
    age, feminine = float(random.beta(1.6, 2.2)), bool(random.random() < 0.5)
    makeup = bool(feminine and random.random() < 0.45)
    skin = np.array([np.interp(tone, np.arange(8), TONES[:, channel]) for channel in range(3)])
    hair_name, hair = _hair_color(random, tone, age)
    return Traits(
        seed=seed, identity=identity, tone=tone, skin=skin * np.exp(random.normal(0, 0.05, 3)), age=age, feminine=feminine,
        hairstyle=_choice(random, LONGER if feminine else SHORTER), hair_name=hair_name, hair=hair,
        brow=np.minimum(hair, to_linear(np.array([105, 82, 64]) / 255.0)) * random.uniform(0.6, 1.0),
        iris=to_linear(
            np.array(IRISES[random.integers(0, 3 if tone > 3.5 else len(IRISES))]) * random.uniform(0.9, 1.35) / 255.0
        ), pupil=float(random.uniform(0.30, 0.48)), makeup=makeup, lips=_lip_tint(random, tone, makeup),
        beard=_beard(random) if not feminine else "none", beard_length=float(random.uniform(0.35, 1.4)),
        brow_thickness=float(random.uniform(0.5, 0.8) if feminine else random.uniform(0.7, 1.1)),
        brow_density=float(random.uniform(0.7, 1.2)),
        brow_arch=float(random.uniform(-0.05, 0.3) if feminine else random.uniform(-0.1, 0.15)),
        freckles=max(0.0, float(random.normal(-0.1, 0.35))) if tone < 3 else 0.0, ruddy=float(random.uniform(0.4, 1.4)),
        oily=float(random.uniform(0.5, 1.5)), moles=int(random.integers(0, 3)), cloth=_cloth(random),
        collar=int(random.integers(0, 3)), glasses=bool(random.random() < 0.14), lens_cm=float(random.uniform(2.35, 2.75)),
        shoulders_cm=float(random.uniform(18, 19.5) if feminine else random.uniform(19.5, 22.5)),
        lens_square=float(random.uniform(2, 4)), frame=to_linear(np.array(FRAMES[random.integers(0, len(FRAMES))]) / 255.0),
    )  # fmt: skip


def _choice(random: np.random.Generator, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(random.choice(list(shares), p=weights / weights.sum()))


def _beard(random: np.random.Generator) -> str:
    return _choice(random, {"none": 0.42, "stubble": 0.24, "full": 0.17, "goatee": 0.08, "moustache": 0.06, "chin": 0.03})


def _hair_color(random: np.random.Generator, tone: float, age: float) -> tuple[str, np.ndarray]:
    shares = {
        "black": 0.2, "dark brown": 0.2, "brown": 0.18, "light brown": 0.12, "blond": 0.11, "light blond": 0.06, "red": 0.04,
        "auburn": 0.06, "dyed": 0.02,
    }  # fmt: skip
    if tone > 4.5:
        shares = {"black": 0.75, "dark brown": 0.2, "gray": 0.05}
    elif age > 0.7:
        shares = {"gray": 0.5, "white": 0.25, "brown": 0.15, "dark brown": 0.1}
    name = _choice(random, shares)
    color = random.uniform(30, 190, 3) if name == "dyed" else np.array(HAIR_COLORS[name], float)
    varied = color * random.uniform(0.85, 1.15) + random.normal(0, 4, 3)
    return name, to_linear(np.clip(varied, 4, 240) / 255.0)


def _lip_tint(random: np.random.Generator, tone: float, makeup: bool) -> np.ndarray:
    low, high = ((-0.2, -1.3, -1.0), (0.1, -0.5, -0.4)) if makeup else ((-0.12, -0.7, -0.58), (0.06, -0.3, -0.22))
    return random.uniform(low, high) * (1 if makeup or tone < 4 else 0.55)


def _cloth(random: np.random.Generator) -> np.ndarray:
    pattern = int(random.choice([0, 0, 0, 1, 2, 3]))
    frequency = (0.0, random.uniform(1, 4), random.uniform(1, 3), random.uniform(2, 6))[pattern]
    colors = [random_color(random, (10, 170), (25, 235)) for _ in range(2)]
    return np.array([*colors[0], *colors[1], pattern, frequency])
