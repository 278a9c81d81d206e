"""What the auto-decoder learns from: the pictures of shards as tensors, a few shards in memory at a time.

A latent belongs to a state of a person (same expression, gaze, posture and light), and all views of a state show the same head.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from pipelines.artifacts.prior import load_prior
from pipelines.engine.keyed_random import keyed
from pipelines.prior.people.parts import PARTS
from pipelines.prior.people.shards import read_shard, shard_paths
from pipelines.train.frames import face_detail

GAZE = ("gazeLeft", "gazeUp")
CHEST = ("chestX", "chestY", "chestZ")
GAZE_UNIT_DEG, CHEST_UNIT_DEG = 20.0, 15.0
"""What counts as 1 in the labels of gaze and of the chest's rotation vector."""
DETAIL = {
    "left_eye": 9.0, "right_eye": 9.0, "mouth": 9.0, "upper_lip": 5.0, "lower_lip": 5.0, "left_brow": 4.0, "right_brow": 4.0,
    "glasses": 2.0, "nose": 1.0, "cloth": 4.0,
}  # fmt: skip
"""How much more the pixels of a part count, and how much more often patches are laid on it: little area, much expression."""
PLACES, FACING = 7.0, -0.3
"""The same for the places of eyes and mouth, whatever is seen there (closed lids are skin), in views whose optical axis has
at most this cosine with the face's."""
SEEN = ("image", "alpha", "depth", "part", "camera", "expression", "gaze", "joints", "state")
COLORED = ("skin", "hair", "left_eye", "cloth")


@dataclass(frozen=True, kw_only=True)
class Views:
    """Some views of some states: L latents, V views each; colors over mid gray."""

    person: Tensor
    """[L] index among all people of the shards."""
    labels: Tensor
    """[L,E] by `label_names`."""
    camera: Camera
    """L*V, the views of a state together."""
    image: Tensor
    """[L*V,3,S,S] in [-1,1]."""
    alpha: Tensor
    """[L*V,1,S,S]"""
    depth: Tensor
    """[L*V,1,S,S] along the camera's z, head units; 0 where nothing is hit."""
    detail: Tensor
    """[L*V,1,S,S] extra weight by part."""


def label_names(expressions: Sequence[str]) -> tuple[str, ...]:
    """Names of a state's labels: the weights of the expression model, then gaze and posture."""
    return (*expressions, *GAZE, *CHEST)


def labels_of(shard: dict[str, np.ndarray]) -> np.ndarray:
    """float32 [N,E] by `label_names`: weights 0..1, gaze over 20 degrees, the chest's rotation vector over 15 degrees."""
    chest = Rotation.from_matrix(shard["joints"][:, 0, :3, :3].astype(float)).as_rotvec(degrees=True) / CHEST_UNIT_DEG
    return np.concatenate([shard["expression"], shard["gaze"] / GAZE_UNIT_DEG, chest], axis=1).astype(np.float32)


def spread_of(labels: np.ndarray) -> np.ndarray:
    """Standard deviation [E] of labels [S,E], at least 0.03."""
    return np.maximum(labels.std(0), 0.03)


def detail_of(part: np.ndarray) -> np.ndarray:
    """Part numbers of any shape -> float32 extra weights."""
    return np.array([DETAIL.get(name, 0.0) for name in PARTS], np.float32)[part]


@dataclass(kw_only=True)
class Truth:
    """The states of the shards in memory."""

    folder: Path
    kept: int
    """Shards in memory at a time."""
    seed: int = 0
    neutral: float = 0.3
    """Odds of a neutral face; those of others are this and the root mean square of their labels, in spreads."""
    shards: list[Path] = field(init=False)
    expressions: tuple[str, ...] = field(init=False)
    people_per_shard: int = field(init=False)
    size: int = field(init=False)
    landmarks: Tensor = field(init=False)
    """[478,3] of the mean head."""
    rows: dict[str, np.ndarray] = field(init=False, default_factory=dict)
    """Arrays of `SEEN` and `person`, `label` over all rows in memory."""
    states: list[np.ndarray] = field(init=False, default_factory=list)
    """Rows of each state."""
    odds: Tensor = field(init=False)
    """[states] how often each is drawn."""
    turn: int = field(init=False, default=-1)

    def __post_init__(self) -> None:
        self.shards = shard_paths(self.folder)
        first = read_shard(self.shards[0], ("people", "expression_names", "image"))
        self.people_per_shard, self.size = len(first["people"]), first["image"].shape[1]
        self.expressions = tuple(str(name) for name in first["expression_names"])
        self.landmarks = torch.from_numpy(load_prior("quick").landmarks).float()

    def load(self, turn: int) -> None:
        """The shards of the `turn`-th exchange; every shard comes once before any comes again."""
        if turn == self.turn or (self.states and self.kept >= len(self.shards)):
            return
        rounds, within = divmod(turn * self.kept, len(self.shards))
        order = [*self._order(rounds), *self._order(rounds + 1)][within : within + self.kept]
        parts = [self._shard(number) for number in sorted(set(order))]
        self.rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        _, first = np.unique(self.rows["person"] * 1_000_000 + self.rows["state"] % 1_000_000, return_inverse=True)
        self.states = np.split(np.argsort(first, kind="stable"), np.cumsum(np.bincount(first))[:-1])
        labels = self.labels()
        self.odds = torch.from_numpy(self.neutral + np.sqrt(np.mean((labels / spread_of(labels)) ** 2, axis=1)))
        self.turn = turn

    def labels(self) -> np.ndarray:
        """[states,E] of the states in memory."""
        return self.rows["label"][[rows[0] for rows in self.states]]

    def draw(self, latents: int, views: int, random: torch.Generator) -> Views:
        """States of the shards in memory, faces that do something more often; states with fewer views repeat some."""
        chosen = torch.multinomial(self.odds, latents, replacement=latents > len(self.odds), generator=random).tolist()
        taken = []
        for number in chosen:
            rows = self.states[number]
            repeated = np.tile(rows, -(-views // len(rows)))
            taken.append(repeated[torch.randperm(len(repeated), generator=random)[:views].numpy()])
        return self.views(np.concatenate(taken), np.array([self.states[number][0] for number in chosen]))

    def views(self, rows: np.ndarray, of: np.ndarray) -> Views:
        """Rows [L*V] as tensors; `of` [L] are rows of the states they show."""
        image, alpha, depth, part = (self.rows[name][rows] for name in ("image", "alpha", "depth", "part"))
        camera = Camera.from_label(torch.from_numpy(self.rows["camera"][rows]))
        return Views(
            person=torch.from_numpy(self.rows["person"][of]), labels=torch.from_numpy(self.rows["label"][of]),
            camera=camera,
            image=torch.from_numpy(image).permute(0, 3, 1, 2).float() / 127.5 - 1,
            alpha=torch.from_numpy(alpha)[:, None].float() / 255,
            depth=torch.from_numpy(depth.astype(np.float32))[:, None],
            detail=torch.maximum(torch.from_numpy(detail_of(part))[:, None], PLACES * self._places(camera)),
        )  # fmt: skip

    def _places(self, camera: Camera) -> Tensor:
        """[N,1,S,S] 1 at eyes and mouth of the mean head in views of the face."""
        facing = camera.world_from_camera[:, 2, 2] <= FACING
        return face_detail(camera, self.landmarks, self.size) * facing.view(-1, 1, 1, 1)

    def _order(self, rounds: int) -> list[int]:
        return torch.randperm(len(self.shards), generator=keyed(self.seed, rounds, "shards")).tolist()

    def _shard(self, number: int) -> dict[str, np.ndarray]:
        shard = read_shard(self.shards[number], (*SEEN, "person"))
        _, person = np.unique(shard["person"], return_inverse=True)
        kept = {name: shard[name] for name in ("image", "alpha", "depth", "part", "camera", "state")}
        return kept | {"label": labels_of(shard), "person": (number * self.people_per_shard + person).astype(np.int64)}


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is known of every person of the shards, and what the numbers are called."""

    names: tuple[str, ...]
    values: np.ndarray
    """float32 [people,D]; NaN where a person has no such thing."""


def describe(truth: Truth) -> Described:
    """Identity, light, traits and mean colors of every person, in the order of the people's indices."""
    rows: list[dict[str, float]] = []
    for path in truth.shards:
        shard = read_shard(path, ("identity", "light", "traits", "person", "part", "image"))
        for person, traits in zip(np.unique(shard["person"]), shard["traits"], strict=True):
            own = {name: shard[name][shard["person"] == person] for name in ("identity", "light", "part", "image")}
            rows.append(_numbers(own, json.loads(str(traits))))
    names = tuple(sorted({name for row in rows for name, value in row.items() if np.isfinite(value)}))
    missing = {name: 0.0 if "=" in name else np.nan for name in names}
    values = np.array([[row.get(name, missing[name]) for name in names] for row in rows], np.float32)
    return Described(names=names, values=values)


def _numbers(own: dict[str, np.ndarray], traits: dict[str, Any]) -> dict[str, float]:
    """A person in named numbers; a trait with words becomes one number a word."""
    result = {f"identity{n:03d}": float(value) for n, value in enumerate(own["identity"][0])}
    result |= {f"light{n:02d}": float(value) for n, value in enumerate(own["light"][0].ravel())}
    for name, value in traits.items():
        result |= {f"{name}={value}": 1.0} if isinstance(value, str) else {name: float(value)}
    for part in COLORED:
        here = own["part"] == PARTS.index(part)
        color = own["image"][here].mean(0) / 255 if here.any() else np.full(3, np.nan)
        result |= {f"{part}_{channel}": float(one) for channel, one in zip("rgb", color, strict=True)}
    return result


def shrunk(values: Tensor, size: int) -> Tensor:
    """Area averages [N,C,S,S] -> [N,C,size,size]."""
    return F.adaptive_avg_pool2d(values, size)


def shrunk_depth(depth: Tensor, size: int) -> Tensor:
    """Means [N,1,size,size] of what is hit; 0 where nothing is."""
    hit = (depth > 0).float()
    return shrunk(depth, size) / shrunk(hit, size).clamp(min=1e-6) * (shrunk(hit, size) > 0).float()
