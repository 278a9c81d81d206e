"""The haircuts people have, in numbers."""

from dataclasses import dataclass

KNOTS = {"ponytail": ((0, 5.0, -9.5), (0, 5.0, -9.8)), "bun": ((0, 10.5, -7.5), (0, 10.8, -8.2))}
"""Where tied hair is combed to, and where it meets."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """Lengths in cm at the top, the sides and the back."""

    lengths: tuple[float, float, float]
    comb: str
    lift: float
    """How far hair stands off the skin where it begins, 0..1."""
    height: float
    """Thickness of the layer."""
    gravity: float
    width: float
    """Of a strand's ribbon at 128 pixels."""
    count: int = 5600
    parting: float = 0.0
    curl: float = 0.0
    """Radius of curls in cm."""
    curls_per_cm: float = 1.0
    fringe: float | None = None
    """Height at which a fringe ends."""
    receding: bool = False

    @property
    def long(self) -> bool:
        return max(self.lengths) > 10

    @property
    def tied(self) -> bool:
        return self.comb in KNOTS


STYLES = {
    "buzz": Style(lengths=(0.35, 0.35, 0.35), comb="forward", lift=0.7, height=0.25, gravity=0, width=0.11, count=6000),
    "crop": Style(lengths=(2.6, 1.1, 1.0), comb="forward", lift=0.55, height=0.7, gravity=0.1, width=0.15),
    "side part": Style(lengths=(6.5, 2.0, 1.8), comb="sweep", lift=0.42, height=1.2, gravity=0.18, width=0.17, parting=-3),
    "slick": Style(lengths=(8.5, 4.0, 3.0), comb="back", lift=0.22, height=0.7, gravity=0.08, width=0.17),
    "quiff": Style(lengths=(5.5, 1.4, 1.2), comb="back", lift=0.95, height=2.0, gravity=0.03, width=0.16),
    "curly top": Style(
        lengths=(4.5, 1.4, 1.3), comb="side", lift=0.7, height=1.9, gravity=0.1, width=0.16, count=5200, curl=0.55,
        curls_per_cm=2.2,
    ),
    "afro": Style(
        lengths=(5.0, 4.6, 4.4), comb="out", lift=1, height=2.8, gravity=0, width=0.17, count=4600, curl=0.55, curls_per_cm=2.6
    ),
    "bob": Style(lengths=(17, 13, 11), comb="side", lift=0.25, height=1.5, gravity=0.85, width=0.20, parting=-1.5),
    "fringe": Style(lengths=(16, 13, 11), comb="side", lift=0.25, height=1.4, gravity=0.85, width=0.20, fringe=5.6),
    "long": Style(lengths=(34, 30, 28), comb="side", lift=0.22, height=1.5, gravity=0.9, width=0.23, parting=0.6),
    "long wavy": Style(
        lengths=(33, 30, 27), comb="side", lift=0.3, height=1.9, gravity=0.8, width=0.23, count=4400, parting=-2.5, curl=0.8,
        curls_per_cm=0.9,
    ),
    "long curly": Style(
        lengths=(27, 25, 22), comb="side", lift=0.5, height=2.6, gravity=0.6, width=0.22, count=4200, curl=0.8, curls_per_cm=2.2
    ),
    "ponytail": Style(lengths=(24, 20, 18), comb="ponytail", lift=0.12, height=0.6, gravity=0, width=0.19, count=5000),
    "bun": Style(lengths=(17, 15, 13), comb="bun", lift=0.12, height=0.6, gravity=0, width=0.19, count=5000),
    "mop": Style(
        lengths=(8.5, 6.5, 5.5), comb="forward", lift=0.5, height=1.8, gravity=0.3, width=0.18, curl=0.3, curls_per_cm=1.0
    ),
    "balding": Style(
        lengths=(1.0, 1.2, 1.0), comb="back", lift=0.35, height=0.35, gravity=0.1, width=0.13, count=3800, receding=True
    ),
}  # fmt: skip
"""Styles with strands; a bald head has none."""
