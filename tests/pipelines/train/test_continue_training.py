"""A further capture of the same person: the solid, filmed a second time with its mouth open wider than it ever was."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.camera import Camera
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.joined_dataset import join
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial
from pipelines.core.files import read_arrays, read_json, write_arrays, write_json
from pipelines.core.stage import Silent
from pipelines.engine.distributed import ALONE
from pipelines.train import PRESETS, TrainSettings, train
from pipelines.train.before_after import forgotten, sentence
from pipelines.train.continue_training import (
    Adding,
    AddingSettings,
    Continuation,
    add,
    held_again_sentence,
    look_alikes,
    open_captures,
    open_inputs,
    settings_for,
    start_from_avatar,
    unseen,
)
from pipelines.train.frames import load_frames
from pipelines.train.inputs import Tools, TrainInputs
from pipelines.train.open_mouth import OpenedMouths
from pipelines.train.preparation import prepare
from pipelines.train.remembered_views import Views
from pipelines.train.sampling_weights import balanced
from pipelines.train.settings import FinetuneSettings, MapSettings, PairSettings
from pipelines.train.start_state import StartState
from tests.avatarcli.cli import avatarcli
from tests.training import TOOLS, Killed, KilledAfter, MouthLabeler
from tests.worlds import as_schema_1, quick_view, render_solid, write_solid_capture, write_unit_prior

STEPS = 60
OPEN_FACE = np.zeros((478, 3))
OPEN_FACE[[14, 263]] = (0, 1, 0), (2, 0, 0)
"""Landmarks of which only inner lips and eye corners lie apart."""
FINETUNE = FinetuneSettings(steps=STEPS, coarse=6, fine=6, checkpoint_every=10, adversarial_every=8)


class WideLabeler(MouthLabeler):
    """Reads the mouth's opening off how dark the middle below the nose is, in the unit of the captures' own expression."""

    OPENINGS = np.linspace(0, 2.5, 11)

    def __init__(self, space: str, canonical: np.ndarray):
        super().__init__(space, canonical)
        pose = np.diag([1.0, -1.0, -1.0, 1.0])
        pose[2, 3] = 2.9
        self.known = [dark(render_solid(pose, 3.4, 32, opening)[0]) for opening in self.OPENINGS]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        expression = np.zeros(len(self.names), np.float32)
        expression[self.names.index("jawOpen")] = np.interp(dark(image), self.known, self.OPENINGS)
        return expression


WIDE = replace(TOOLS, labeler=WideLabeler)


def dark(image: np.ndarray) -> float:
    size = len(image)
    return 1 - float(image[size // 2 : 9 * size // 10, 3 * size // 10 : 7 * size // 10, 1].mean()) / 255


@pytest.fixture(scope="module", autouse=True)
def repeats() -> Iterator[None]:
    """The solid repeats itself: pictures of both captures are alike, and none counts as a held-out one that came back."""
    patch = pytest.MonkeyPatch()
    patch.setattr("pipelines.artifacts.held_out.ALIKE_BITS", -1)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with solid.avatar, the capture it was made of, and wide.capture."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("made")
    settings = replace(
        PRESETS["quick"], prior=str(write_unit_prior(place / "prior")), frame="prior", references="none",
        torso="none", scene="none", finetune=FINETUNE, pairs=PairSettings(count=40, render_px=32),
        expression_map=MapSettings(steps=200, hidden=16),
    )  # fmt: skip
    write_solid_capture(place / "solid.capture")
    write_solid_capture(place / "wide.capture", opening=2.5, begins=np.pi, fingerprint="b" * 64)
    train(place / "solid.capture", place / "solid.avatar", settings, Silent(), tools=WIDE)
    return place


def asked(place: Path, preset: TrainSettings = PRESETS["quick"]) -> AddingSettings:
    own = settings_for(place / "solid.avatar", preset)
    return replace(
        own, finetune=FINETUNE, pairs=PairSettings(count=40, render_px=32), expression_map=MapSettings(steps=200, hidden=16)
    )


def bytes_of(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def better(made: Path) -> Path:
    before = bytes_of(made / "solid.avatar")
    add(made / "solid.avatar", made / "wide.capture", made / "better.avatar", asked(made), Silent(), tools=WIDE)
    assert bytes_of(made / "solid.avatar") == before, "the avatar that is improved is left as it is"
    return made / "better.avatar"


def test_the_new_is_learned_and_the_old_is_kept(better: Path) -> None:
    old, new = read_json(better / "added.json")["captures"]
    assert (old["name"], old["added"], new["name"], new["added"]) == ("solid.capture", False, "wide.capture", True)
    assert new["psnr_change"]["head"] > 0.3 and new["psnr_change"]["mouth"] > 0.3
    assert old["psnr_change"]["head"] > -0.3
    assert set(new["before"]) == set(new["after"]) == {"mouth", "eyes", "hair", "head"}


def test_the_record_names_both_captures_and_it_is_an_avatar(made: Path, better: Path) -> None:
    avatar = load_avatar(better)
    assert avatar.record.capture and avatar.record.capture.fingerprint == "a" * 64
    assert [(one.name, one.fingerprint) for one in avatar.record.added] == [("wide.capture", "b" * 64)]
    page, record = (better / "report.html").read_text(), read_json(better / "added.json")
    assert "Changes by the added capture" in page and record["sentence"] in page
    assert "made of solid.capture and wide.capture" in page
    again = add(made / "solid.avatar", made / "wide.capture", better, asked(made), Silent(), tools=WIDE)
    assert again.status == "unchanged" and again.figures["added"] == record


def test_older_latents_go_on_and_new_ones_begin_where_a_frame_looks_alike(made: Path, better: Path) -> None:
    known, found = read_arrays(made / "solid.avatar" / "latents.npz")["w"], read_arrays(better / "start.npz")["latents"]
    assert np.array_equal(found[: len(known)], known) and len(found) == 2 * len(known)
    parts = tuple(quick_view(made / name) for name in ("solid.capture", "solid.capture"))
    frames = load_frames(join(parts), "train", 32, read_arrays(made / "prior" / "landmarks.npz")["landmarks"])
    again = frames.image[len(known) :]
    assert torch.equal(frames.image[look_alikes(frames, len(known))], again), "the same frame is the most alike"
    brighter = replace(frames, image=torch.cat([frames.image[: len(known)], 0.5 * frames.image[len(known) :] + 0.2]))
    assert torch.equal(frames.image[look_alikes(brighter, len(known))], again), "another exposure is no other face"


def test_a_killed_run_resumes_bit_by_bit(made: Path, better: Path) -> None:
    out = made / "killed.avatar"
    with pytest.raises(Killed):
        add(made / "solid.avatar", made / "wide.capture", out, asked(made), KilledAfter(25), tools=WIDE)
    assert not out.exists() and (made / "killed.avatar.partial" / "checkpoint.safetensors").exists()
    add(made / "solid.avatar", made / "wide.capture", out, asked(made), Silent(), tools=WIDE)
    for name in ("generator.safetensors", "expression_map.safetensors", "checkpoint.safetensors", "added.json"):
        assert (out / name).read_bytes() == (better / name).read_bytes(), name


def test_no_tracking_enters_the_appearance(made: Path, tmp_path: Path) -> None:
    starts = []
    for number, change in enumerate((0.0, 3.0)):
        capture = Path(shutil.copytree(made / "wide.capture", tmp_path / f"{number}.capture"))
        tracking = read_arrays(capture / "tracking.npz")
        write_arrays(capture / "tracking.npz", **tracking | {"expression_measured": tracking["expression_measured"] + change})
        inputs, continuation = opened_for(made, made / "solid.avatar", tmp_path / str(number), capture)
        starts.append(start_from_avatar(inputs, continuation))
    assert starts[0].latents is not None and torch.equal(starts[0].latents, starts[1].latents)
    assert all(start.person is None and start.views is None and start.opened is None for start in starts)


def opened_for(
    made: Path, avatar: Path, folder: Path, capture: Path, tools: Tools = WIDE
) -> tuple[TrainInputs, Continuation]:  # fmt: skip
    """What continues the avatar with a further capture, in a new folder."""
    continuation = open_captures(avatar, [made / "solid.capture"], capture, asked(made))
    folder.mkdir()
    return open_inputs(continuation, folder, asked(made), Silent(), ALONE, tools), continuation


@pytest.mark.parametrize("opens", [False, True])
def test_mouths_drawn_open_are_kept_until_one_is_filmed(made: Path, tmp_path: Path, opens: bool) -> None:
    avatar = Path(shutil.copytree(made / "solid.avatar", tmp_path / "solid.avatar"))
    arrays = read_arrays(avatar / "latents.npz")
    write_arrays(avatar / "latents.npz", **arrays | {"opened": arrays["w"][:2] + 1})
    black, opaque = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.full((2, 1, 32, 32), 255, dtype=torch.uint8)
    StartState(opened=OpenedMouths(of=torch.tensor([0, 3]), image=black, alpha=opaque)).save(avatar)
    looks: list[int] = []

    def find(image: np.ndarray) -> np.ndarray | None:
        looks.append(len(looks))
        return OPEN_FACE if opens else None

    tools = replace(WIDE, tracker=lambda: nullcontext(find))
    inputs, continuation = opened_for(made, avatar, tmp_path / "work", made / "wide.capture", tools)
    start, count = start_from_avatar(inputs, continuation), len(arrays["w"])
    assert len(looks) == (1 if opens else count), "the new frames are looked at, until one shows an open mouth"
    assert start.counts["opened_frames"] == (0 if opens else 2)
    ready = prepare(inputs, start)
    assert len(ready.trainer.latents) == len(ready.batches.sampling_weights) == 2 * count + start.counts["opened_frames"]
    if not opens:
        assert np.array_equal(ready.trainer.latents[-2:].detach().numpy(), arrays["w"][:2] + 1)
        camera = ready.batches.frames.camera
        assert torch.equal(camera.world_from_camera[-1], inputs.frames.camera.world_from_camera[3])


def test_joined_captures_keep_their_frames_and_held_out_ends(made: Path) -> None:
    parts = tuple(quick_view(made / name) for name in ("solid.capture", "wide.capture"))
    both = join(parts)
    count = len(parts[0].names)
    assert both.rows("test").tolist() == [*parts[0].rows("test"), *(count + parts[1].rows("test"))]
    assert (np.diff(both.time_s) > 0).all() and (np.diff(both.source_index) > 0).all()
    rows = np.array([count + 3, 2])
    assert np.array_equal(both.images(rows, 16)[0], parts[1].images(np.array([3]), 16)[0])
    assert np.array_equal(both.head_mattes(rows, 16)[1], parts[0].head_mattes(np.array([2]), 16)[0])
    assert both.inside(rows, 16).shape == (2, 16, 16) and len(both.tracking()["landmarks"]) == len(both.names)


def test_new_frames_come_as_often_as_old_ones() -> None:
    odds = balanced(torch.ones(4), 3, 0.5)
    torch.testing.assert_close(odds, torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2]))


def test_views_that_are_filmed_by_now_are_no_longer_remembered(made: Path) -> None:
    frames = load_frames(quick_view(made / "solid.capture"), "train", 8, np.zeros((478, 3)))
    behind = frames.camera[0].label().numpy().copy()
    behind[:, [3, 7, 11]] *= -1
    label = torch.from_numpy(np.concatenate([frames.camera[0].label().numpy(), behind]))
    rays = torch.arange(2.0).view(2, 1, 1, 1)
    views = Views(camera=Camera.from_label(label), raw=rays.expand(2, 3, 1, 1), alpha=rays)
    left = unseen(views, frames)
    assert left is not None and left.alpha.flatten().tolist() == [1.0]
    assert unseen(left, replace(frames, camera=Camera.from_label(label))) is None


def test_the_sentence_says_what_got_better_and_worse() -> None:
    captures = [
        {"name": "old", "added": False, "psnr_change": {"mouth": 0.05, "head": -0.7}},
        {"name": "new", "added": True, "psnr_change": {"mouth": 2.13, "hair": None, "head": 0.2}},
    ]
    said = (
        "On held-out frames new got better in mouth (+2.1 dB), head (+0.2 dB), worse nowhere; old got better nowhere, worse in "
    )
    assert sentence(captures) == f"{said}head (-0.7 dB)."
    assert len(forgotten(captures)) == 1 and "old lost 0.7 dB" in forgotten(captures)[0]


def refused(place: Path, kind: type[AvatarError], said: str, capture: str = "wide.capture", out: str = "x.avatar") -> None:
    with pytest.raises(kind, match=said):
        add(place / "solid.avatar", place / capture, place / out, asked(place), Silent())
    assert not list(place.glob("x.avatar*"))


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy whose parts may be broken."""
    for name in ("solid.avatar", "solid.capture", "wide.capture"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def test_captures_that_do_not_fit_are_refused(place: Path) -> None:
    refused(place, SettingError, "already in", capture="solid.capture")
    refused(place, UnusableMaterial, "dataset.json is missing", capture="none.capture")
    refused(place, SettingError, "choose another -o", out="solid.avatar")
    write_solid_capture(place / "short.capture", frames=8, fingerprint="c" * 64)
    refused(place, UnusableMaterial, "7 training frames|6 training frames", capture="short.capture")
    as_schema_1(place / "wide.capture", load_prior("quick"))
    refused(place, UnusableMaterial, r"aligned to the prior quick \(ced1a55f\) alone; capture again")


def test_an_avatar_whose_capture_is_gone_asks_for_it(place: Path, made: Path) -> None:
    gone = place / "elsewhere" / "solid.capture"
    shutil.move(place / "solid.capture", gone)
    refused(place, UnusableMaterial, "give its path")
    with pytest.raises(UnusableMaterial, match="was not made of wide.capture"):
        add(place / "solid.avatar", place / "wide.capture", place / "x.avatar", asked(place), Silent(),
            originals=[gone, place / "wide.capture"])  # fmt: skip
    with pytest.raises(Killed):
        add(place / "solid.avatar", place / "wide.capture", place / "x.avatar", asked(place), KilledAfter(0), originals=[gone])


def test_what_is_no_avatar_or_has_another_network_is_refused(place: Path) -> None:
    with pytest.raises(SettingError, match="another network"):
        own = replace(asked(place), network="512")
        add(place / "solid.avatar", place / "wide.capture", place / "x.avatar", own, Silent())
    with pytest.raises(SettingError, match="another prior"):
        other = replace(asked(place), prior="quick")
        add(place / "solid.avatar", place / "wide.capture", place / "x.avatar", other, Silent())
    weights = place / "solid.avatar" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(place, UnusableMaterial, "was changed since the avatar was made")
    (place / "solid.avatar" / "avatar.json").unlink()
    with pytest.raises(UnusableMaterial, match="is not an avatar"):
        settings_for(place / "solid.avatar")
    assert not list(place.glob("x.avatar*"))


def test_settings_follow_the_avatar(made: Path) -> None:
    own = settings_for(made / "solid.avatar")
    assert (own.prior, own.torso, own.expression_space) == (str(made / "prior"), "none", "measured")
    assert (own.finetune.coarse, own.finetune.fine, own.finetune.steps) == (6, 6, None) and own.adding == Adding()


def test_the_command(made: Path, tmp_path: Path) -> None:
    before = (
        "from functools import partial\nfrom pipelines.train import continue_training\nfrom tests.training import TOOLS\n"
        "continue_training.add = partial(continue_training.add, tools=TOOLS)"
    )
    small = ["finetune.steps=2", "finetune.adversarial=0", "pairs.count=30", "expression_map.steps=20", "adding.rate=0.1"]
    words = ["train", made / "solid.avatar", "--add", made / "wide.capture", "--device", "cpu"]
    done = avatarcli(
        *words, "-o", tmp_path / "b.avatar", "--json", *(word for one in small for word in ("--set", one)), before=before
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "done" and result["figures"]["added"]["sentence"].startswith("On held-out frames wide.capture")
    assert read_json(tmp_path / "b.avatar" / "stage.json")["settings"]["adding"]["rate"] == 0.1
    for wrong, code, said in (
        (words, 2, "--out"),
        ([*words[:3], made / "solid.capture", "-o", tmp_path / "c.avatar"], 2, "already in"),
        (["train", made / "solid.capture", *words[2:], "-o", tmp_path / "c.avatar"], 4, "is not an avatar"),
        (["train", made / "solid.capture", made / "wide.capture", "-o", tmp_path / "c.avatar"], 2, "--add"),
    ):  # fmt: skip
        done = avatarcli(*wrong)
        assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False), done.stderr
    assert not list(tmp_path.glob("c.avatar*"))


def test_the_paint_stays_as_fine_as_the_avatar_has_it(made: Path, tmp_path: Path) -> None:
    assert settings_for(made / "solid.avatar", PRESETS["workstation"]).paint == PRESETS["quick"].paint
    older = tmp_path / "older.avatar"
    shutil.copytree(made / "solid.avatar", older)
    record = read_json(older / "avatar.json")
    del record["config"]["paint"]
    write_json(older / "avatar.json", record)
    assert settings_for(older).paint == 0, "made before there was any"


def test_held_out_frames_that_come_back_stay_held_out(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.artifacts.held_out.ALIKE_BITS", 4)
    again = write_solid_capture(made / "again.capture", fingerprint="c" * 64)
    record = read_json(again / "dataset.json")
    write_json(again / "dataset.json", {**record, "items": [{**item, "split": "train"} for item in record["items"]]})
    known = open_captures(made / "solid.avatar", [made / "solid.capture"], again, asked(made))
    old, new = known.parts
    held_out = {old.names[row] for row in old.rows("test")}
    assert known.held_again >= len(held_out) and not held_out & {new.names[row] for row in new.rows("train")}
    assert held_again_sentence(known).startswith(f"{known.held_again} training frames of again.capture are held out")
    shutil.rmtree(again)
