"""Shards of solids: people are ellipsoids of different colors whose mouths open, with the labels that synthetic people have."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from models.camera import Camera, orbit
from pipelines.core.files import write_json
from pipelines.prior.people.parts import PARTS
from pipelines.prior.people.shards import shard_path, write_shard
from tests.worlds import render_solid

EXPRESSIONS = ("jawOpen", "mouthSmileLeft")


def write_solid_shards(folder: Path, shards: int = 2, people: int = 2, states: int = 2, views: int = 3, size: int = 32) -> Path:
    """A folder as `prior synth` leaves it; the first state is neutral."""
    random = np.random.default_rng(3)
    folder.mkdir(parents=True)
    for number in range(shards):
        rows = [
            _row(random, number * people + person, state, view, size)
            for person in range(people) for state in range(states) for view in range(views)
        ]  # fmt: skip
        arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        first = number * people
        traits = [json.dumps({"tone": 1.0 * n, "hair": ("brown", "black")[n % 2], "glasses": False}) for n in range(people)]
        arrays |= {
            "people": np.arange(first, first + people, dtype=np.int32), "traits": np.array(traits),
            "expression_names": np.array(EXPRESSIONS),
        }  # fmt: skip
        write_shard(shard_path(folder, number), arrays)
    write_json(folder / "stage.json", {"schema": 1, "stage": "prior synth", "fingerprint": "solid", "settings": {}})
    return folder


def _row(random: np.random.Generator, person: int, state: int, view: int, size: int) -> dict[str, Any]:
    yaw = 0.6 * (view - 1)
    pose = orbit(math.pi / 2 + yaw, math.pi / 2, 2.7)
    camera = Camera(world_from_camera=pose, intrinsics=Camera.frontal(2.7, 3.2).intrinsics)
    image, matte = render_solid(pose[0].double().numpy(), 3.2, size, mouth=float(state))
    tint = np.array([1.0, 1 - 0.2 * (person % 3), 1 - 0.1 * person])
    image = np.where(matte[..., None] > 0, image * tint.clip(0), 127).astype(np.uint8)
    joints = np.tile(np.eye(4, dtype=np.float32), (7, 1, 1))
    return {
        "image": image, "alpha": matte, "depth": np.where(matte > 0, 2.45, 0).astype(np.float16),
        "part": np.where(matte > 0, PARTS.index("skin"), 0).astype(np.uint8), "camera": camera.label()[0].numpy(),
        "expression": np.array([state, 0.0], np.float16), "gaze": np.array([10.0 * state, 0.0], np.float16),
        "identity": np.full(3, person, np.float16), "light": random.normal(size=(9, 3)).astype(np.float32),
        "joints": joints, "person": np.int64(person), "state": np.int32(10 * person + state),
    }  # fmt: skip
