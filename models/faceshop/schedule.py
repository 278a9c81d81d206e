"""When which loss of 3DFaceShop's training sets in (sections 4.3.1 to 4.3.3; spec 9 and 10), as numbers of the generator's
steps."""

from dataclasses import dataclass

from models.faceshop.objective import STAGE_TWO_SHARE

IMITATION, SEMANTICS, PAIRS, END = 5_000, 20_000, 300_000, 400_000
"""Steps at which the imitation of the face model sets in, the parser's labels, the pairs of stage two, and the end."""
SMOOTH, SMOOTH_LATER = 0.1, 0.5
"""Weights of the density's smoothness from `IMITATION` and from `SEMANTICS` on."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What counts at a step."""

    imitation: bool
    semantics: bool
    pairs: bool
    share: float
    """Of all that belongs to stage one."""
    smoothness: float


def phase_at(step: int, total: int = END) -> Phase:
    """The losses of a step of a training of `total` steps, whose stages are the paper's in proportion.

    Step 4,999: adversarial alone; 5,000: the face model; 20,000: labels; 300,000: pairs, and all else weighs 0.7.
    """
    progress = step * END / total
    imitation, semantics, pairs = (progress >= start for start in (IMITATION, SEMANTICS, PAIRS))
    smoothness = SMOOTH_LATER if semantics else SMOOTH if imitation else 0.0
    share = STAGE_TWO_SHARE if pairs else 1.0
    return Phase(imitation=imitation, semantics=semantics, pairs=pairs, share=share, smoothness=smoothness)
