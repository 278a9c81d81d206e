"""The pictures of one person: which are taken, and everything that is known of each.

Of a person come `states` (the first neutral; each an expression, gaze and posture under the person's light), every state seen
by `views` cameras (the first near the front), then `pairs` pictures that differ from an earlier one in a single factor.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.core.errors import SettingError
from pipelines.face.ict import to_head_units
from pipelines.prior.people import body
from pipelines.prior.people.expressions import draw_expression
from pipelines.prior.people.person import Person, with_shape
from pipelines.prior.people.posed import Pose, Posed
from pipelines.prior.people.scene import CROP_EXTENT, View, draw_light, draw_view, light_label, render_person
from pipelines.prior.people.shards import NO_PAIR, PAIR_FACTORS
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.surfaces import Lamps
from pipelines.prior.people.traits import draw_traits

SKIN_POINTS = 512


@dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """What decides the pictures."""

    people: int = 100
    """How many."""
    size: int = 128
    """Pixels."""
    seed: int = 0
    """The same number makes the same pictures."""
    states: int = 4
    """Expressions of a person; the first is neutral."""
    views: int = 4
    """Cameras a state."""
    pairs: int = 2
    """Pictures of a person that differ from another in one factor; the factors take turns."""
    samples: int = 2
    """Rays a pixel, squared."""
    around: float = 0.35
    """Share of the other views from any side; the rest lies within 100 degrees of the front."""
    radii: tuple[float, float] = (1.6, 4.5)
    """Distance of the cameras in head units, even in its logarithm: around 2.7."""
    extent: float = CROP_EXTENT
    """Side of a picture at the head's depth, head units; 0.85 is the shipped priors' crop, 1.2 shows the shoulders."""
    identity_sigma: float = 0.75
    """Standard deviation of the face model's shape weights; 1 is that of the people it was made of."""
    people_per_shard: int = 8
    """People whose pictures share a file."""

    def __post_init__(self) -> None:
        least = {"people": 1, "size": 16, "seed": 0, "states": 1, "views": 1, "pairs": 0, "samples": 1, "people_per_shard": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise SettingError(f"{name} is {getattr(self, name)}, it must be at least {value}.")
        near, far = self.radii
        if not 1 <= near <= far:
            raise SettingError(f"radii are {near} and {far}: cameras stand between them, the nearer at least 1 head unit away.")
        if not (0 <= self.around <= 1 and self.extent > 0 and self.identity_sigma >= 0):
            raise SettingError("around is a share between 0 and 1, extent is above 0, and identity_sigma is not below 0.")

    @property
    def images(self) -> int:
        return self.people * (self.states * self.views + self.pairs)

    @property
    def shards(self) -> int:
        return -(-self.people // self.people_per_shard)


@dataclass(frozen=True, kw_only=True)
class Shot:
    """All that one picture shows."""

    person: Person
    pose: Pose
    lamps: Lamps
    view: View
    state: int


def shoot(stock: Stock, settings: SynthSettings, index: int, first_row: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a person, and the person's own record."""
    random = np.random.default_rng([settings.seed, index])
    person = Person(stock, draw_traits(int(random.integers(0, 2**31)), settings.identity_sigma))
    states = settings.states + settings.pairs
    lamps = draw_light(random)
    rows, shots = [], []
    for state in range(settings.states):
        pose = draw_pose(random, stock, neutral=state == 0)
        posed = Posed(person, pose)
        for turn in range(settings.views):
            view = draw_view(random, turn == 0, settings.radii, settings.around, settings.extent)
            shots.append(Shot(person=person, pose=pose, lamps=lamps, view=view, state=index * states + state))
            rows.append(shoot_row(shots[-1], posed, settings) | {"person": index, "pair_of": -1, "pair_factor": NO_PAIR})
    for turn in range(settings.pairs):
        factor, anchor = (
            (index * settings.pairs + turn) % len(PAIR_FACTORS),
            int(random.integers(0, settings.states)) * settings.views,
        )
        shot = change_factor(shots[anchor], PAIR_FACTORS[factor], random, settings, index * states + settings.states + turn)
        pair = {"person": index, "pair_of": first_row + anchor, "pair_factor": factor}
        rows.append(shoot_row(shot, Posed(shot.person, shot.pose), settings) | pair)
    return rows, person_record(person, index)


def draw_pose(random: np.random.Generator, stock: Stock, neutral: bool = False) -> Pose:
    if neutral:
        return Pose(np.zeros(len(stock.model.expression_names)))
    gaze = float(random.normal(0, 9)), float(random.normal(0, 5))
    return Pose(draw_expression(random, stock.model), gaze, body.draw_posture(random))


def change_factor(shot: Shot, factor: str, random: np.random.Generator, settings: SynthSettings, state: int) -> Shot:
    """The same but for one factor; a change of view alone keeps the state."""
    if factor == "view":
        return replace(shot, view=draw_view(random, False, settings.radii, settings.around, settings.extent))
    if factor == "light":
        return replace(shot, lamps=draw_light(random), state=state)
    if factor == "shape":
        other = draw_traits(int(random.integers(0, 2**31)), settings.identity_sigma)
        return replace(shot, person=Person(shot.person.stock, with_shape(shot.person.traits, other)), state=state)
    other = draw_pose(random, shot.person.stock)
    if factor == "expression":  # not once more a neutral face
        while not other.expression.any():
            other = draw_pose(random, shot.person.stock)
    return replace(shot, pose=replace(shot.pose, **{factor: getattr(other, factor)}), state=state)


def shoot_row(shot: Shot, posed: Posed, settings: SynthSettings) -> dict[str, Any]:
    """One picture and its labels."""
    picture = render_person(posed, shot.view, shot.lamps, settings.size, settings.samples)
    return {
        "image": picture.image, "alpha": picture.alpha, "depth": picture.depth, "part": picture.part,
        "camera": shot.view.label(), "expression": posed.expression, "gaze": np.array(shot.pose.gaze),
        "identity": shot.person.traits.identity,
        "light": light_label(shot.lamps), "landmarks": posed.landmarks.astype(np.float32),
        "joints": posed.unit_transforms.astype(np.float32), "state": np.int32(shot.state),
    }  # fmt: skip


def person_record(person: Person, index: int) -> dict[str, Any]:
    """What is kept of a person: joints, a cloud of skin with its weights, traits."""
    skin = person.neutral[: person.stock.skin_count]
    both = np.concatenate([skin, person.shirt.points])
    weights = np.concatenate([person.weights[: len(skin)], person.shirt_weights])
    chosen = np.random.default_rng(7).choice(len(both), SKIN_POINTS, replace=False)
    return {
        "people": np.int32(index), "rest_joints": to_head_units(person.joints).astype(np.float32),
        "skin_points": to_head_units(both[chosen]).astype(np.float32), "skin_weights": weights[chosen],
        "traits": json.dumps(person.traits.summary()),
    }  # fmt: skip
