"""Mouths drawn open: the jaw and nothing else moves, what comes of it reads as an open mouth, and is trained on as a guess."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.camera import Camera, orbit
from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from pipelines.artifacts.prior import load_codes, load_prior
from pipelines.evaluate.faces import Find, mouth_opening, tracker
from pipelines.face.expression import measure_expression
from pipelines.train import TrainSettings, open_mouth
from pipelines.train.appearance import FrameLatents, fit_appearance
from pipelines.train.frames import Frames, face_detail
from pipelines.train.inputs import Tools
from pipelines.train.networks import make_networks
from pipelines.train.open_mouth import (
    DRAWN_PX,
    JAWS_DEG,
    OPENED_SHARE,
    PLAIN,
    WIDE,
    OpenedMouths,
    lower_jaw,
    open_mouths,
    select_frames,
    shares,
    shut_mouths,
    with_opened,
)
from pipelines.train.planning import plan_training
from pipelines.train.preparation import draw_mouths, prepare
from pipelines.train.settings import PAPER, FinetuneSettings
from pipelines.train.start_state import StartState
from tests.training import inputs_of
from tests.worlds import write_solid_capture, write_unit_prior

TURNS = (-40.0, -15.0, 0.0, 12.0)
MEAN = load_prior("quick").landmarks


@pytest.fixture(scope="module")
def frames() -> Frames:
    """The prior's mean person, its mouth shut, from four sides."""
    prior = load_prior("quick")
    generator, _, _ = make_networks(prior, TrainSettings(paint=0), "cpu")
    assert isinstance(generator, EG3D)
    codes = load_codes(prior)
    assert codes is not None
    yaw = torch.pi / 2 - torch.deg2rad(torch.tensor(TURNS))
    poses = orbit(yaw, torch.full((len(TURNS),), torch.pi / 2), 2.7)
    known = Camera.frontal(2.7, 2.7 / 0.85).intrinsics.expand(len(TURNS), -1, -1)
    camera = Camera(world_from_camera=poses, intrinsics=known)
    ws = broadcast(torch.from_numpy(codes.base)[None], generator.latent.num_ws)
    with torch.no_grad():
        shown = [generator.eval().synthesis(ws, camera[n], background=torch.zeros(1, 3, 1, 1)) for n in range(len(TURNS))]
    alpha = torch.nn.functional.interpolate(torch.cat([one.alpha for one in shown]), size=128, mode="bilinear")
    return Frames(
        image=torch.cat([one.image for one in shown]).clamp(-1, 1), alpha=alpha.clamp(0, 1), inside=torch.ones_like(alpha),
        detail=face_detail(camera, torch.from_numpy(MEAN).float(), 128), camera=camera, weight=torch.ones(len(TURNS)),
        time_s=torch.arange(len(TURNS)).float(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def opened(frames: Frames) -> OpenedMouths:
    with tracker() as find:
        opened = open_mouths(frames, MEAN, find)
    assert opened is not None
    return opened


def where(camera: Camera) -> np.ndarray:
    """[478,2] px of the mean face."""
    return camera.project(torch.from_numpy(MEAN).float()[None])[0][0].numpy() * DRAWN_PX


def test_frames_from_near_the_front_are_repeated(opened: OpenedMouths) -> None:
    assert sorted(set(opened.of.tolist())) == [1, 2, 3], "-40 degrees is too far aside"
    assert len(opened.of) == 3 * len(JAWS_DEG)
    assert opened.image.dtype == torch.uint8 and opened.image.shape[1:] == (3, 128, 128)


def test_the_tracker_reads_mouths_that_open_step_by_step(frames: Frames, opened: OpenedMouths) -> None:
    import cv2

    rows = np.flatnonzero(opened.of == 2)
    shut = ((frames.image[2].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    shown = [shut, *(opened.image[row].permute(1, 2, 0).numpy() for row in rows)]
    with tracker() as find:
        points = [find(cv2.resize(image, (320, 320), interpolation=cv2.INTER_CUBIC)) for image in shown]
    gaps = [mouth_opening(one) for one in points if one is not None]
    jaws = [float(measure_expression(one, MEAN)[0]) for one in points if one is not None]
    assert len(gaps) == 4 and gaps == sorted(gaps) and gaps[0] < 0.05 and gaps[-1] > 0.2
    assert jaws == sorted(jaws) and jaws[-1] - jaws[0] > 0.25


def test_only_the_lower_face_moves(frames: Frames, opened: OpenedMouths) -> None:
    row = np.flatnonzero(opened.of == 2)[-1]
    before = (frames.image[2].permute(1, 2, 0).numpy() + 1) * 127.5
    moved = np.abs(opened.image[row].permute(1, 2, 0).numpy() - before).max(2)
    lips, chin = (int(where(frames.camera[2:3])[point, 1] / DRAWN_PX * 128) for point in (13, 152))
    assert np.median(moved[: lips - 20]) < 2 and moved[: lips - 20].max() < 25
    assert moved[lips : lips + 8, 56:72].max() > 60, "a dark mouth"
    assert opened.alpha[row, 0, chin, 64] > 200


def test_a_jaw_turns_about_its_hinge_and_the_rest_stays() -> None:
    camera = Camera.frontal(2.7, 2.7 / 0.85)
    points = where(camera)
    wide, small = (lower_jaw(points, MEAN, camera, angle) for angle in (18.0, 6.0))
    share = shares(points)
    assert np.abs((wide - points)[share == 0]).max() == 0 and {13, 1, 33, 263} <= set(np.flatnonzero(share == 0))
    assert (wide - points)[152, 1] > 2 * (small - points)[152, 1] > 0
    hinge, chin = (complex(MEAN[list(place), 2].mean(), MEAN[list(place), 1].mean()) for place in (open_mouth.HINGES, (152,)))
    turned = hinge + (chin - hinge) * np.exp(-1j * np.radians(18))
    assert wide[152, 1] / DRAWN_PX == pytest.approx(0.5 - turned.imag / (2.7 - turned.real) * 2.7 / 0.85, abs=1e-4)
    assert share[14] == pytest.approx(1.0, abs=0.01) and share[78] == pytest.approx(open_mouth.CORNER, abs=0.01)


def test_a_mouth_that_was_filmed_open_is_left_alone(frames: Frames) -> None:
    apart = np.concatenate([where(frames.camera[2:3]), np.zeros((478, 1))], axis=1)
    apart[14] = apart[13] + [0, 0.2 * np.linalg.norm(apart[33] - apart[263]), 0]
    asked: list[int] = []

    def find(image: np.ndarray) -> np.ndarray | None:
        asked.append(len(asked))
        return apart if len(asked) == 2 else None

    assert open_mouths(frames, MEAN, find) is None and len(asked) == 2, "one look at an open mouth is enough"
    assert shut_mouths(frames, range(4), lambda image: None) == {}
    assert open_mouths(frames, MEAN, lambda image: None) is None, "no face, nothing to open"


def test_smiles_and_plain_faces_from_all_sides_are_chosen() -> None:
    random, face = np.random.default_rng(0), where(Camera.frontal(2.7, 2.7 / 0.85))
    shut = {10 * number: face + random.normal(0, 0.2, face.shape) for number in range(24)}
    corners = [61, 291]
    shut[30][corners] += (face[corners] - face[corners].mean(0)) * 0.3
    shut[70][corners] += (face[corners] - face[corners].mean(0)) * 0.3
    shut[70][list(open_mouth.UPPER_LIDS)] = shut[70][list(open_mouth.LOWER_LIDS)]
    turned = np.linspace(-20, 20, 240)
    found = select_frames(shut, turned)
    assert 30 in found and 70 not in found, "a smile, not one with shut eyes"
    assert PLAIN < len(found) <= PLAIN + WIDE and np.ptp(turned[found]) > 25


def test_repeated_frames_follow_the_others(frames: Frames, opened: OpenedMouths) -> None:
    assert with_opened(frames, None) is frames
    every = with_opened(frames, opened)
    assert len(every) == 4 + len(opened.of) == len(every.camera) == len(every.time_s) == len(every.detail)
    assert torch.equal(every.image[:4], frames.image) and every.rarity is None
    assert torch.equal(every.camera.world_from_camera[4:], frames.camera.world_from_camera[opened.of])
    assert every.image.min() >= -1 and every.image.max() <= 1 and every.alpha.max() <= 1


def test_a_training_looks_at_them_as_often_as_said_and_keeps_their_latents_apart(tmp_path: Path) -> None:
    small = replace(TrainSettings(), finetune=FinetuneSettings(steps=4, adversarial=0.0, coarse=4, fine=4))
    asked = replace(small, network="fresh", prior=str(write_unit_prior(tmp_path / "prior")))
    inputs = inputs_of(write_solid_capture(tmp_path / "solid.capture"), tmp_path / "work", asked)
    count, image, alpha = len(inputs.frames), (inputs.frames.image[:2] + 1) * 127.5, inputs.frames.alpha[:2] * 255
    opened = OpenedMouths(of=torch.tensor([0, 1]), image=image.byte(), alpha=alpha.byte())
    StartState(opened=opened).save(inputs.folder)
    start = StartState.load(inputs.folder)
    ready = prepare(inputs, start)
    weights = ready.batches.sampling_weights
    assert len(ready.trainer.latents) == count + 2 == len(weights)
    assert float(weights[count:].sum() / weights.sum()) == pytest.approx(OPENED_SHARE)
    fit_appearance(inputs, start, plan_training(inputs, start, lambda: 0.0))
    latents = FrameLatents.load(inputs.folder)
    assert len(latents.filmed) == count and len(latents.opened) == 2


def test_a_mouth_may_stay_shut(tmp_path: Path) -> None:
    def never() -> AbstractContextManager[Find]:
        raise AssertionError("frames are looked at although the mouth stays as it was filmed")

    asked = replace(TrainSettings(unfilmed_mouth="shut"), prior=str(write_unit_prior(tmp_path / "prior")))
    inputs = inputs_of(write_solid_capture(tmp_path / "solid.capture"), tmp_path / "work", asked, Tools(tracker=never))
    assert draw_mouths(inputs) is None and PAPER.unfilmed_mouth == "shut"
