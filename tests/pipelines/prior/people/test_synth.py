"""Synthetic people: labels agree with the pictures, shards repeat bit for bit, an interrupted run goes on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.camera import Camera
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.core.stage import Silent
from pipelines.face.ict import load_face_model
from pipelines.prior.people import parts, synth
from pipelines.prior.people.person import Person
from pipelines.prior.people.posed import Pose, Posed
from pipelines.prior.people.scene import draw_light, render_person, view_from
from pipelines.prior.people.shards import NO_PAIR, PAIR_FACTORS, read_shard, shard_paths
from pipelines.prior.people.sheet import check_sheet, write_sheet
from pipelines.prior.people.shooting import SynthSettings
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.synth import people_of, synthesize
from pipelines.prior.people.traits import draw_traits
from tests.avatarcli.cli import avatarcli, environment
from tests.material import shared

TINY = SynthSettings(people=3, size=64, seed=3, states=2, views=2, pairs=2, people_per_shard=2)
Shards = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def model() -> Path:
    return shared("ict/ict_facekit.npz")


@pytest.fixture(scope="module")
def stock(model: Path) -> Stock:
    return Stock(load_face_model(model), TINY.size)


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "shards"
    report = synthesize(out, TINY, Silent(), ict=model, workers=1)
    assert (report.status, report.figures["images"], report.figures["shards"]) == ("done", 18, 2)
    return out


@pytest.fixture(scope="module")
def shard(folder: Path) -> Shards:
    return read_shard(shard_paths(folder)[0])


def pixels(shard: Shards, row: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column and row [N,2], and depth [N], of points in head space."""
    camera = Camera.from_label(torch.from_numpy(shard["camera"][row : row + 1]))
    place, depth = camera.project(torch.from_numpy(points[None]).float())
    return place[0].numpy() * TINY.size - 0.5, depth[0, :, 0].numpy()


def test_alpha_depth_and_parts_agree(shard: Shards) -> None:
    assert ((shard["depth"] > 0) == (shard["alpha"] > 0)).all()
    assert ((shard["part"] > 0) == (shard["alpha"] >= 128)).all()
    assert (shard["image"][shard["alpha"] == 0] == 127).all()
    assert shard["part"].max() < len(parts.PARTS) and 0.2 < (shard["alpha"] > 0).mean() < 0.95
    radius = np.linalg.norm(shard["camera"].reshape(-1, 25)[:, [3, 7, 11]], axis=1)
    seen = np.where(shard["depth"] > 0, shard["depth"].astype(float), np.nan)
    assert (np.abs(np.nanmedian(seen, (1, 2)) - radius) < 0.5).all()


def test_landmarks_lie_where_the_head_is_seen(shard: Shards) -> None:
    """The tip of the nose (30) is on the nose when the camera is in front, at its depth; all landmarks are on the person."""
    checked = 0
    for row, points in enumerate(shard["landmarks"]):
        place, depth = pixels(shard, row, points)
        column, line = np.clip(np.rint(place).astype(int), 0, TINY.size - 1).T
        inside = ((place > 1) & (place < TINY.size - 2)).all(1)
        assert (shard["alpha"][row][line, column] > 0)[inside].mean() > 0.95
        eye = shard["camera"][row, [3, 7, 11]]
        if eye[2] > 0.8 * np.linalg.norm(eye):
            checked += 1
            assert shard["part"][row][line[30], column[30]] == parts.NOSE
            assert abs(float(shard["depth"][row][line[30], column[30]]) - depth[30]) < 0.02
    assert checked >= 3


def test_joints_carry_the_skin(shard: Shards) -> None:
    """Of a neutral face, the cloud posed by the joints lies on the rendered person or behind what is seen there."""
    person = int(shard["people"][0])
    near = []
    for row in np.flatnonzero((shard["person"] == person) & (np.abs(shard["expression"]).max(1) == 0)).tolist():
        rest, weights = shard["skin_points"][0], shard["skin_weights"][0]
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        blended = np.einsum("nj,jab->nab", weights, shard["joints"][row])
        posed = np.einsum("nab,nb->na", blended[:, :3, :3], rest) + blended[:, :3, 3]
        place, depth = pixels(shard, row, posed.astype(np.float32))
        inside = ((place > 0) & (place < TINY.size - 1)).all(1)
        column, line = np.rint(place[inside]).astype(int).T
        seen = shard["depth"][row][line, column].astype(float)
        assert (seen > 0).mean() > 0.97
        assert (depth[inside] > seen - 0.05)[seen > 0].mean() > 0.98  # at silhouettes a pixel's depth is a mean
        near.append((np.abs(depth[inside] - seen) < 0.02).mean())
    assert max(near) > 0.15
    np.testing.assert_allclose(shard["joints"][:, 1], np.broadcast_to(np.eye(4), (len(shard["joints"]), 4, 4)), atol=1e-5)


def test_pairs_differ_in_their_factor_alone(folder: Path) -> None:
    seen = set()
    for path in shard_paths(folder):
        data = read_shard(path)
        for row in np.flatnonzero(data["pair_of"] >= 0):
            anchor, factor = data["pair_of"][row], PAIR_FACTORS[data["pair_factor"][row]]
            seen.add(factor)
            labels = {"view": "camera", "light": "light", "gaze": "gaze", "shape": "identity", "posture": "joints"}
            same = {name: (data[label][row] == data[label][anchor]).all() for name, label in labels.items()}
            same["posture"] |= factor == "shape"
            assert [name for name, equal in same.items() if not equal] == ([factor] if factor in same else [])
            assert (data["person"][row] == data["person"][anchor]) and not (data["image"][row] == data["image"][anchor]).all()
            assert (data["state"][row] == data["state"][anchor]) == (factor == "view")
        assert (data["pair_factor"][data["pair_of"] < 0] == NO_PAIR).all()
    assert seen == set(PAIR_FACTORS)


def test_people_differ_and_a_state_is_one_face(shard: Shards) -> None:
    assert len(np.unique(shard["identity"], axis=0)) >= 2
    for state in np.unique(shard["state"]):
        mine = shard["state"] == state
        assert len(np.unique(shard["expression"][mine], axis=0)) == 1 and len(np.unique(shard["light"][mine], axis=0)) == 1
    assert json.loads(str(shard["traits"][0])).keys() >= {"tone", "hairstyle", "glasses"}


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops before the second shard; then the first is not rendered again."""
    made: list[int] = []
    true = synth.shard_of

    def once(stock: Stock, settings: SynthSettings, number: int) -> Shards:
        made.append(number)
        if made == [0, 1]:
            raise KeyboardInterrupt
        return true(stock, settings, number)

    monkeypatch.setattr(synth, "shard_of", once)
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "shards", TINY, Silent(), ict=model, workers=1)
    assert not (tmp_path / "shards").exists()
    synthesize(tmp_path / "shards", TINY, Silent(), ict=model, workers=1)
    assert made == [0, 1, 1]
    for path in shard_paths(folder):
        assert path.read_bytes() == (tmp_path / "shards" / path.name).read_bytes()
    assert synthesize(tmp_path / "shards", TINY, Silent(), ict=model).status == "unchanged"


@pytest.mark.slow
def test_two_workers_make_the_same_bytes(folder: Path, model: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "shards", tmp_path / "sheet.png"
    small = [f"{name}={getattr(TINY, name)}" for name in ("states", "views", "pairs", "people_per_shard")]
    words = [
        "--people",
        "3",
        "--size",
        "64",
        "--seed",
        "3",
        "--workers",
        "2",
        *(word for one in small for word in ("--set", one)),
    ]
    done = avatarcli("prior", "synth", "--out", out, "--ict", model, "--sheet", sheet, *words, "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"]["workers"] == 2 and sheet.stat().st_size > 10_000
    for path in shard_paths(folder):
        assert path.read_bytes() == (out / path.name).read_bytes()


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run_with_a_sentence(model: Path, tmp_path: Path) -> None:
    """Its stand-in renders nothing: one worker ends itself, as the system does for want of memory."""
    code, out = tmp_path / "run.py", str(tmp_path / "shards")
    code.write_text(
        "import os, signal\nif __name__ == '__main__':\n    from avatarcli.app import main\n    main()\n"
        "else:\n    import pipelines.prior.people.synth as synth\n"
        "    synth._make = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = ["--people", "3", "--workers", "2", "--set", "people_per_shard=1", "--out", out, "--ict", str(model)]
    done = subprocess.run(
        [sys.executable, code, "prior", "synth", *words], capture_output=True, text=True, timeout=300, env=environment(None)
    )
    assert done.returncode == 1 and "a worker process was killed" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": slice(100)}, "its identity are"), ({"uv": slice(50)}, "faces_uv name vertices"),
        ({"expression_names": slice(7)}, "expression are"), ({"landmarks68": slice(4)}, "landmarks68"),
    ],
)  # fmt: skip
def test_a_face_model_that_is_not_whole_is_refused(model: Path, tmp_path: Path, changes: dict[str, slice], said: str) -> None:
    arrays = read_arrays(model)
    write_arrays(tmp_path / "ict_facekit.npz", **arrays | {name: arrays[name][part] for name, part in changes.items()})
    with pytest.raises(UnusableMaterial, match=rf"not a complete face model, .*{said}.* prior fetch ict-facekit"):
        synthesize(tmp_path / "shards", TINY, Silent(), ict=tmp_path)
    assert not list(tmp_path.glob("shards*"))


def test_no_worker_is_no_setting(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="workers is 0"):
        synthesize(tmp_path / "shards", TINY, Silent(), ict=model, workers=0)


def test_lids_close_fully_and_the_mouth_opens(stock: Stock) -> None:
    person = Person(stock, draw_traits(11))
    view, lamps = view_from(0, 0, 2.7, extent=0.5), draw_light(np.random.default_rng(0))

    def shares(**weights: float) -> np.ndarray:
        expression = np.zeros(53)
        for name, weight in weights.items():
            expression[stock.model.index(name)] = weight
        part = render_person(Posed(person, Pose(expression)), view, lamps, 96).part
        return np.bincount(part.ravel(), minlength=19)

    open_, closed, jaw = shares(), shares(eyeBlink_L=1, eyeBlink_R=1), shares(jawOpen=0.8)
    eyes = [parts.LEFT_EYE, parts.RIGHT_EYE]
    assert (open_[eyes] > 10).all() and (closed[eyes] < 0.6 * open_[eyes]).all()
    assert jaw[parts.MOUTH_PART] > open_[parts.MOUTH_PART] + 50
    assert (open_[[parts.LEFT_EAR, parts.RIGHT_EAR, parts.LEFT_BROW, parts.UPPER_LIP, parts.LOWER_LIP]] > 5).all()
    assert open_[parts.SKIN_PART] > open_[parts.NOSE] > 100


def test_the_persons_left_is_on_the_right_of_a_frontal_image(stock: Stock) -> None:
    person = Person(stock, draw_traits(11))
    posed = Posed(person, Pose(np.zeros(53), (25.0, 0.0)))
    assert posed.gaze[:, 0].min() > 0.3 and posed.expression[stock.model.index("eyeLookOut_L")] > 0.8
    part = render_person(posed, view_from(0, 0, 2.7), draw_light(np.random.default_rng(0)), 64).part
    assert np.argwhere(part == parts.LEFT_EAR)[:, 1].mean() > 32 > np.argwhere(part == parts.RIGHT_EAR)[:, 1].mean()


def test_settings_and_sheets(folder: Path, tmp_path: Path) -> None:
    assert [list(people_of(SynthSettings(people=20), n)) for n in (0, 2)] == [list(range(8)), [16, 17, 18, 19]]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"views": 0}, "views is 0"), ({"people": 0}, "people is 0"), ({"seed": -1}, "seed is -1"), ({"samples": 0}, "samples"),
        ({"radii": (0.2, 4.0)}, "radii are 0.2"), ({"radii": (4.0, 2.0)}, "radii"), ({"around": 2.0}, "around"),
    ]  # fmt: skip
    for changes, said in wrong:
        with pytest.raises(SettingError, match=said):
            SynthSettings(**changes)
    with pytest.raises(SettingError, match=r"name a \.png"):
        check_sheet(tmp_path / "sheet.txt")
    write_sheet(folder, tmp_path / "sheet.png", 3, 2)
    from pipelines.core.files import read_image

    sheet = read_image(tmp_path / "sheet.png")
    assert sheet.shape == (128, 192, 3) and sheet.std() > 20
