"""The expression map, corrected: its latents are moved until they show the expression that was given.

The map was taught to hit latents, all directions of w alike, and where an expression says little about one it answers with the
mean. So what the lips and brows do drowns a small opening of the jaw, and a smile comes out smaller than it was asked for. The
pairs that taught it also say the reverse: what the tracker reads off the render of a latent. In the coordinates x of the map's
basis that is nearly linear, `e(x) = c + G x`, with errors of covariance R. With x0 the map's answer to e, wrong by S over the
pairs, the latent most likely to show e is

    x = x0 + K (e - c - G x0),    K = S G^T (G S G^T + R / importance)^-1,

which moves the latent where the map is unsure and leaves it where it knows. Jaw, lower lip, smile and lids count `IMPORTANCE`
times as much as other channels: a talking face is read by them, and the first two say whether its mouth is open. No x goes
farther out than those of the person's own frames: beyond, hair and shoulders fray. Worked number: with one coordinate,
S = R = 1, G = 1 and an importance of 1, half of what is missing is made up for. What is asked for was read off a camera's
pictures, which the tracker sees a little differently: c is such that the person's own frames need no correction in the mean.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.generator import Control
from models.heads.expression_map import ExpressionMap, broadcast
from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.avatar_record import PAIRS
from pipelines.core.files import read_arrays

IMPORTANT = (
    "jawOpen", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft",
    "eyeBlinkRight",
)  # fmt: skip
IMPORTANCE = 4.0
CORRECTION_STRENGTH = 1.0
"""Share of the correction that is applied unless a setting says otherwise."""
REACH = 3.0
"""Standard deviations of the person's latents that a coordinate never passes."""
RIDGE = 10.0
LEAST_PAIRS = 100
"""Renders from which on a response is believed."""


class CorrectedMap(nn.Module):
    """An expression map whose w is corrected by the response of the renders."""

    center: Tensor
    """[E] c"""
    response: Tensor
    """[E,K] G"""
    correction: Tensor
    """[K,E] K, times the strength."""
    farthest: Tensor
    """[] how far x may be from 0: as far as that of the person's own frames."""

    def __init__(
        self, *, plain: ExpressionMap, center: Tensor, response: Tensor, correction: Tensor, farthest: Tensor
    ):  # fmt: skip
        super().__init__()
        self.plain = plain
        given = {"center": center, "response": response, "correction": correction, "farthest": farthest}
        for name, value in given.items():
            self.register_buffer(name, value)

    def w(self, expression: Tensor) -> Tensor:
        """[B,E] -> [B,w_dim]"""
        first = coordinates(self.plain.w(expression), self.plain)
        moved = (first + (expression - self.center - first @ self.response.T) @ self.correction.T).clamp(-REACH, REACH)
        near = (self.farthest / moved.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1.0)
        return self.plain.mean_w + near * moved @ self.plain.basis

    def forward(self, expression: Tensor) -> Tensor:
        return broadcast(self.w(expression), self.plain.num_ws)

    def control(self, expression: Tensor, head_pose: Tensor | None = None) -> Control:
        """As the map it corrects: latents alone."""
        return Control(ws=self(expression))


def coordinates(w: Tensor, plain: ExpressionMap) -> Tensor:
    """[B,K] of latents [B,w_dim] along the map's basis, whose rows are at right angles."""
    return (w - plain.mean_w) @ (plain.basis / plain.basis.square().sum(1, keepdim=True)).T


def corrected(avatar: Avatar, strength: float = CORRECTION_STRENGTH) -> "ExpressionMap | CorrectedMap":
    """The avatar's map, corrected; as it is where the avatar has no pairs or the strength is 0."""
    path = avatar.folder / PAIRS
    if strength == 0 or not path.exists():
        return avatar.expression_map
    channels, width = len(avatar.names), avatar.generator.latent.w_dim
    pairs = read_arrays(path, {"w": f"float [P,{width}]", "expression": f"float [P,{channels}]"})
    rendered = ~pairs["anchor"].astype(bool) if "anchor" in pairs else np.ones(len(pairs["w"]), bool)
    if rendered.sum() < LEAST_PAIRS:
        return avatar.expression_map
    renders, frames = ((pairs["w"][rows], pairs["expression"][rows]) for rows in (rendered, ~rendered))
    return correct(avatar.expression_map, *renders, avatar.names, strength, frames if len(frames[0]) else None)


@torch.no_grad()
def correct(
    plain: ExpressionMap, w: np.ndarray, expression: np.ndarray, names: tuple[str, ...], strength: float,
    filmed: tuple[np.ndarray, np.ndarray] | None = None,
) -> CorrectedMap:  # fmt: skip
    """`plain` corrected by latents [P,w_dim] and what the tracker read off their renders [P,E].

    `filmed` are latents [A,w_dim] of frames and what the tracker read off these [A,E].
    """
    device = plain.mean.device
    scores = torch.as_tensor(expression, dtype=torch.float32, device=device)
    rendered = coordinates(torch.as_tensor(w, dtype=torch.float32, device=device), plain).double().cpu().numpy()
    missing = rendered - coordinates(plain.w(scores), plain).double().cpu().numpy()
    center, response, residual = linear(rendered, np.asarray(expression, np.float64))
    farthest = np.inf
    if filmed is not None:  # else the difference between a camera's pictures and renders would be corrected, too
        at = coordinates(torch.as_tensor(filmed[0], dtype=torch.float32, device=device), plain).double().cpu().numpy()
        center = (filmed[1] - at @ response.T).mean(0)
        farthest = float(np.linalg.norm(at, axis=1).max())
    spread = missing.T @ missing / len(missing)
    weight = np.array([IMPORTANCE if name in IMPORTANT else 1.0 for name in names])
    doubt = response @ spread @ response.T + np.diag(np.square(residual).mean(0) / weight)
    correction = strength * np.linalg.solve(doubt, response @ spread).T
    c, g, k, far = (
        torch.as_tensor(part, dtype=torch.float32, device=device) for part in (center, response, correction, farthest)
    )
    return CorrectedMap(plain=plain, center=c, response=g, correction=k, farthest=far).eval()


def linear(inputs: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c [E], G [E,K] and the residual [P,E] of outputs [P,E] = c + G inputs [P,K], by least squares with a ridge."""
    middle, base = inputs.mean(0), outputs.mean(0)
    x = inputs - middle
    response = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (outputs - base)).T
    center = base - response @ middle
    return center, response, outputs - center - inputs @ response.T
