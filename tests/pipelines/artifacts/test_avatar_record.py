"""avatar.json: what it holds comes back, older records are read, and whatever does not fit is one sentence."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import (
    PAIRS,
    TORSO,
    Origin,
    SamplesPerRay,
    ViewLimits,
    add_files,
    content_id,
    load_avatar_record,
    save_avatar_record,
)
from pipelines.avatar.latent_correction import corrected
from pipelines.avatar.portrait import Portrait
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json, write_arrays, write_image, write_json
from tests.tiny import write_tiny_avatar


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "anna.avatar")


def schema_1(avatar: Path) -> dict[str, Any]:
    """The record as the first version of the program wrote it."""
    record = read_json(avatar / "avatar.json")
    kept = ("family", "config", "image_size", "prior", "frontal_camera", "crop_extent", "sampling", "expression", "torso")
    return {
        "schema": 1, **{name: record[name] for name in kept}, "consent": None,
        "turns": {"yaw_deg": [-6.5, 7], "pitch_deg": [-4, 8]},
        "capture": {"fingerprint": "0" * 64, "name": "tiny.capture", "mattes": None, "cameras": "colmap_scene"},
    }  # fmt: skip


def test_what_is_written_is_read(avatar: Path) -> None:
    record = replace(
        load_avatar_record(avatar), view_limits=ViewLimits(yaw_deg=(-20.0, 20.0), pitch_deg=(-5.0, 5.0)),
        added=(Origin(name="b.capture", fingerprint="b" * 64, consent={"who": "Anna", "when": None}),), torso="follow",
    )  # fmt: skip
    save_avatar_record(avatar, record)
    assert load_avatar_record(avatar) == record


def test_a_record_of_schema_1_is_the_same_avatar(avatar: Path) -> None:
    newer = load_avatar(avatar)
    write_json(avatar / "avatar.json", schema_1(avatar))
    older = load_avatar(avatar)
    assert older.record.view_limits == ViewLimits(yaw_deg=(-6.5, 7.0), pitch_deg=(-4.0, 8.0))
    assert older.record.sampling == SamplesPerRay(coarse=6, fine=6) and older.record.capture is not None
    assert older.record.capture.cameras == "colmap_scene" and set(older.record.weights.values()) == {None}
    assert older.names == newer.names and np.array_equal(older.high, newer.high)
    pairs = zip(older.generator.parameters(), newer.generator.parameters(), strict=True)
    assert all((first == second).all() for first, second in pairs)


def test_the_torso_belongs_to_the_avatar_like_its_weights(avatar: Path) -> None:
    write_image(avatar / "torso.png", np.full((8, 8, 4), 200, np.uint8))
    write_json(avatar / "torso.json", {"frontal_from_torso": [[1, 0, 0], [0, 1, 0]]})
    save_avatar_record(avatar, replace(load_avatar_record(avatar), torso="still"))
    unhashed = content_id(avatar, load_avatar_record(avatar))
    add_files(avatar, TORSO)
    record = load_avatar(avatar).record
    assert set(TORSO) < set(record.weights) and content_id(avatar, record) == unhashed
    for name in TORSO:
        data = (avatar / name).read_bytes()
        (avatar / name).write_bytes(data + b" ")
        with pytest.raises(UnusableMaterial, match=f"{name} was changed since the avatar was made"):
            load_avatar(avatar)
        (avatar / name).write_bytes(data)
    load_avatar(avatar)


def test_the_oldest_records_lack_samples_limits_torso_and_license(avatar: Path) -> None:
    record = schema_1(avatar)
    for name in ("sampling", "turns", "torso", "consent"):
        del record[name]
    write_json(avatar / "avatar.json", record)
    known = load_avatar(avatar).record
    assert (known.sampling, known.view_limits, known.torso, known.prior.license) == (None, None, "none", None)


def changed(record: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    result = deepcopy(record)
    *path, last = place.split("/")
    part: Any = result
    for name in path:
        part = part[int(name)] if isinstance(part, list) else part[name]
    part[int(last) if isinstance(part, list) else last] = value
    return result


FAULTS: list[tuple[str, Any, str]] = [
    ("schema", 3, "has schema 3; this version reads 1 and 2"), ("schema", [1], "has schema"),
    ("image_size", -5, "image_size"), ("image_size", 10**9, "image_size"), ("image_size", "32", "has a text in `image_size`"),
    ("image_size", None, "has nothing in `image_size`"), ("image_size", 64, "another one in its config"),
    ("frontal_camera", [1.0] * 25, "frontal_camera that is not a camera"), ("frontal_camera", [0.0] * 24, "frontal_camera"),
    ("frontal_camera/0", float("nan"), "frontal_camera"), ("expression/neutral/3", float("nan"), "expression.neutral"),
    ("expression/low", [0.0], "has 1 numbers in expression.low"), ("expression/high/0", 1e9, "expression.high"),
    ("expression/names/0", "jawOpenn", "jawOpen"), ("expression/space", "flame", "expression.space"),
    ("config/plane_resolution", 10**7, "config.plane_resolution"),
    ("config/plane_resolution", "big", "has a text in `plane_resolution`"),
    ("config/plane_resolution", 4096, "do not belong together"), ("config/mapping_layers", -3, "do not belong together"),
    ("config/w_dim", 12, "do not belong together"), ("config/unheard_of", 1, "unheard_of"), ("config", 3, "config"),
    ("family", "gram", "family gram"), ("sampling/coarse", 10**6, "sampling.coarse"), ("sampling/fine", -1, "sampling.fine"),
    ("torso", "sideways", "torso"), ("torso", "follow", "torso.png is missing"), ("consent", "yes", "consent"),
    ("weights", {"../x": "a"}, "weights"), ("weights", {"pairs.npz": None}, "pairs.npz is missing"),
    ("view_limits", {"yaw_deg": [-999, 0], "pitch_deg": [0, 0]}, "view_limits"),
    ("capture/fingerprint", 5, "capture.fingerprint"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "said"), FAULTS)
def test_what_does_not_fit_is_one_sentence(avatar: Path, place: str, value: Any, said: str) -> None:
    write_json(avatar / "avatar.json", changed(read_json(avatar / "avatar.json"), place, value))
    with pytest.raises(UnusableMaterial) as caught:
        load_avatar(avatar)
    text = str(caught.value)
    assert said in text and "anna.avatar" in text and "\n" not in text and text.endswith(".")


NASTY: tuple[Any, ...] = (
    None,
    "",
    [],
    {},
    -5,
    0,
    10**9,
    1e308,
    -0.5,
    True,
    "x" * 300,
    [[1]],
    {"a": 1},
    "\x1b[31m",
    [[[[]]]] * 3,
)


def places(value: Any, path: str = "") -> Iterator[str]:
    """Places of everything in a JSON value; of a list the first and the last."""
    keys = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1}) if isinstance(value, list) and value else []
    for key in keys:
        yield f"{path}{key}"
        yield from places(value[key], f"{path}{key}/")


def test_a_record_with_anything_anywhere_is_shown_or_refused(avatar: Path) -> None:
    record, random = read_json(avatar / "avatar.json"), np.random.default_rng(0)
    every, refused = list(places(record)), 0
    for _ in range(80):
        place, value = every[random.integers(len(every))], NASTY[random.integers(len(NASTY))]
        write_json(avatar / "avatar.json", changed(record, place, value))
        try:
            portrait = Portrait(load_avatar(avatar))
            portrait.render(portrait.scene(portrait.avatar.neutral[None]), portrait.avatar.frontal)
        except UnusableMaterial as error:
            refused += 1
            assert "\n" not in str(error), (place, value)
    assert refused > 40


def test_pairs_that_are_gone_or_another_persons_do_not_change_the_pictures_silently(avatar: Path) -> None:
    write_json(avatar / "avatar.json", schema_1(avatar))
    stage = read_json(avatar / "stage.json")
    write_json(avatar / "stage.json", {**stage, "figures": {"pairs": 400}})
    with pytest.raises(UnusableMaterial, match="pairs.npz is missing"):
        load_avatar(avatar)
    write_arrays(avatar / PAIRS, w=np.zeros((300, 5), np.float32), expression=np.zeros((300, 3), np.float32))
    with pytest.raises(UnusableMaterial, match="pairs.npz"):
        corrected(load_avatar(avatar))
