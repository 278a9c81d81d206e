"""Records of strangers: every type with parts replaced, left out or nested is one sentence or a result, never another error."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarcli.settings import resolve
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.capture_record import load_capture_record
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.face_sampler import FacesRecord
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.scene.scene import load_place
from pipelines.avatar.torso import TorsoRecord
from pipelines.batch import Job, _states, load_batch
from pipelines.capture.footage import transforms_json
from pipelines.core.errors import AvatarError
from pipelines.core.files import write_json
from pipelines.core.records import read_record
from pipelines.core.stage import run_stage, stage_record, step, step_warnings
from pipelines.drive.settings import DriveSettings
from pipelines.train.budget import PlanRecord
from tests.folders import write_capture
from tests.tiny import write_tiny_avatar
from tests.worlds import write_solid_capture, write_unit_prior

Value = Any
BAD: list[Value] = [
    None, [], {}, "", "x", "../x", -1, 0, 3, 1.5, -5e9, 1e300, 10**30, True, [[[]]], {"a": {"b": []}}, ["x"] * 3, "\x1b[31m",
    "9" * 400,
]  # fmt: skip
Reader = Callable[[Path], object]
OTHERS: dict[str, Value] = {
    "jobs/batch.json": {
        "schema": 1, "jobs": "jobs.toml",
        "rows": {"anna": {"state": "failed", "fingerprint": "0", "tries": 1, "seconds": 2.5, "exit_code": 4, "error": "x"}},
    },
    "scene/scene.json": {
        "frame_size": [640, 360], "box": [10.0, 20.0, 200.0], "camera": [float(at % 5 == 0) for at in range(25)],
    },
    "faces/faces.json": {
        "schema": 1, "weights_sha256": "0" * 64, "license": "MIT",
        "parts": {"shape": {"size": 10, "latent": 4, "width": 8, "bounded": False, "scale": 1.0}},
    },
    "half/steps/one.json": {"seconds": 1.5, "figures": {"frames": 3}, "order": 5.0},
    "half/warnings.json": ["the light changes."],
}  # fmt: skip
"""Records that no helper writes."""

TOLERATED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


def places(value: Value, path: tuple = ()) -> list[tuple]:
    """Paths to all values inside a JSON value; of a long list to its first three."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in places(item, (*path, key)))]


def mutated(value: Value, path: tuple, bad: Value, leave_out: bool) -> Value:
    if not path:
        return bad
    changed = copy.deepcopy(value)
    owner = changed
    for key in path[:-1]:
        owner = owner[key]
    if leave_out:
        del owner[path[-1]]
    else:
        owner[path[-1]] = bad
    return changed


def judge(file: Path, value: Value, read: Reader, data: st.DataObject) -> None:
    """Read a record of which one or two places were changed."""
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(places(value)))
        value = mutated(value, path, data.draw(st.sampled_from(BAD)), data.draw(st.booleans()))
    before = file.read_bytes()
    file.write_text(json.dumps(value))
    try:
        read(file.parent)
    except AvatarError as error:
        assert "\n" not in str(error) and str(error).endswith((".", "?", "again"))
    finally:
        file.write_bytes(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Reader]]:
    """A whole record of every type, and who reads it."""
    place = tmp_path_factory.mktemp("strangers")
    avatar, capture = write_tiny_avatar(place / "a.avatar"), write_solid_capture(place / "a.capture", frames=4)
    shown, prior = write_capture(place / "b.capture", frames=8), write_unit_prior(place / "prior")
    (shown / "frames").mkdir(exist_ok=True)
    for path in (shown / "crops").glob("*.png"):
        (shown / "frames" / f"{path.stem}.jpg").write_bytes(path.read_bytes())
    record = json.loads((shown / "transforms.json").read_text())
    (shown / "transforms.json").write_text(
        json.dumps({**record, "fl_x": 80.0, "fl_y": 80.0, "cx": 32.0, "cy": 32.0, "w": 64, "h": 64})
    )
    (place / "torso").mkdir()
    (place / "torso" / "torso.json").write_text(json.dumps({"frontal_from_torso": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}))
    (place / "plan").mkdir()
    plan = {
        "steps": 4,
        "pairs": 3,
        "threads": 1,
        "seconds_per_step": 0.1,
        "seconds_for_steps": 1.0,
        "why": "x",
        "sizes": {"batch": 4},
    }
    (place / "plan" / "plan.json").write_text(json.dumps(plan))
    frame = load_prior(str(prior)).frame
    for name, value in OTHERS.items():
        write_json(place / name, value)
    (place / "jobs" / "jobs.toml").write_text('[[job]]\nname = "anna"\nvideo = "a.mp4"\ndrive = "b.mp4"\n')
    return {
        "avatar.json": (avatar / "avatar.json", load_avatar),
        "stage.json": (avatar / "stage.json", stage_record),
        "occupied": (avatar / "stage.json", _occupied),
        "capture.json": (capture / "capture.json", load_capture_record),
        "dataset.json": (capture / "dataset.json", lambda folder: view_of(folder, frame, cached=False)),
        "transforms.json": (shown / "transforms.json", lambda folder: transforms_json.read(folder / "transforms.json", 640)),
        "prior.json": (prior / "prior.json", lambda folder: load_prior(str(folder))),
        "torso.json": (place / "torso" / "torso.json", lambda folder: read_record(folder / "torso.json", TorsoRecord)),
        "plan.json": (place / "plan" / "plan.json", PlanRecord.load),
        "batch.json": (place / "jobs" / "batch.json", lambda folder: _states(load_batch(folder / "jobs.toml"))),
        "scene.json": (place / "scene" / "scene.json", load_place),
        "faces.json": (place / "faces" / "faces.json", lambda folder: read_record(folder / "faces.json", FacesRecord)),
        "step": (place / "half" / "steps" / "one.json", lambda folder: step(folder.parent, "one", dict)),
        "warnings": (place / "half" / "warnings.json", step_warnings),
    }  # fmt: skip


def test_every_record_is_read_as_it_is(folders: dict[str, tuple[Path, Reader]]) -> None:
    """Or the mutations below would tell nothing; what is occupied is refused."""
    assert set(folders) == set(NAMES)
    wrong = {}
    for name, (file, read) in folders.items():
        try:
            read(file.parent)
        except AvatarError as error:
            wrong[name] = str(error)
    assert set(wrong) == {"occupied"}, wrong


def _occupied(folder: Path) -> object:
    return run_stage("other", version=1, inputs={}, settings=None, out=folder, work=lambda partial: {})


NAMES = (
    "avatar.json", "stage.json", "occupied", "capture.json", "dataset.json", "transforms.json", "prior.json", "torso.json",
    "plan.json", "batch.json", "scene.json", "faces.json", "step", "warnings",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=TOLERATED)
@given(data=st.data())
def test_records(folders: dict[str, tuple[Path, Reader]], name: str, data: st.DataObject) -> None:
    file, read = folders[name]
    judge(file, json.loads(file.read_text()), read, data)


def as_toml(value: Value) -> str:
    """A value as TOML writes it inline; None, which it cannot say, as an empty text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return '""' if value is None else json.dumps(value)


ROW = {"name": "anna", "video": "a.mp4", "drive": "b.mp4", "budget": "5m", "settings": {"train": {"seed": 1}}}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=TOLERATED)
@given(data=st.data())
def test_jobs_and_settings(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("jobs") / "jobs.toml"
    value: Value = {"defaults": {"out": "out", "preset": "quick"}, "job": [ROW]}
    value = mutated(
        value, data.draw(st.sampled_from(places(value)[1:])), data.draw(st.sampled_from(BAD)), data.draw(st.booleans())
    )
    file.write_text("".join(f"{key} = {as_toml(item)}\n" for key, item in value.items()))
    try:
        assert all(isinstance(job, Job) for job in load_batch(file).jobs)
    except AvatarError as error:
        assert "\n" not in str(error)
    key = data.draw(
        st.sampled_from(["size", "batch", "track.chunk", "retarget.mouth", "views.turn_limit", "track.head_signs", "view"])
    )
    file.write_text(f"{key} = {as_toml(data.draw(st.sampled_from(BAD)))}\n")
    try:
        resolve(DriveSettings(), file=file)
    except AvatarError as error:
        assert str(error)
