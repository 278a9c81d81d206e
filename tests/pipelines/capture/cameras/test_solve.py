"""Which cameras win, and the sentence that says why."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.capture.cameras import solve
from pipelines.capture.cameras.background_motion import Background
from pipelines.capture.cameras.candidate import CameraSettings, Candidate, Question
from pipelines.capture.cameras.solve import ask_colmap, plan, select_candidate
from pipelines.capture.cameras.surface_tracks import Tracks
from pipelines.capture.colmap import run
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import Silent, step_warnings
from tests.pipelines.capture.heads import SIZE, filmed


def candidate(method: str, error_px: float = 1.0, surface_px: float = 0.5, problems: tuple[str, ...] = ()) -> Candidate:
    figures = {"registered_views": "60 of 60", "reprojection_px": 0.4, "disagreement_deg": 1.2, "surface_error_px": surface_px}
    return Candidate(
        method=method, camera_from_world=np.tile(np.eye(4), (3, 1, 1)), focal_px=700.0, points=np.zeros((4, 3)),
        error_px=np.full(3, error_px), confidence=np.ones(3), figures=figures, problems=problems,
    )  # fmt: skip


LANDMARKS = candidate("landmark_pose")


def test_a_model_that_fits_the_head_wins() -> None:
    best, why = select_candidate([LANDMARKS, candidate("colmap_scene", error_px=1.4, surface_px=0.7)])
    assert best.method == "colmap_scene"
    assert "60 of 60 views" in why and "1.2 degrees" in why and why.endswith(".")


def test_a_model_with_a_problem_loses_with_the_reason() -> None:
    inside_out = candidate("colmap_scene", problems=("the model is inside out", "the face lies behind its cameras"))
    best, why = select_candidate([LANDMARKS, inside_out])
    assert best is LANDMARKS
    assert "refused because the model is inside out and the face lies behind its cameras" in why


@pytest.mark.parametrize(("error_px", "surface_px", "word"), [(2.5, 0.6, "landmarks fit"), (1.2, 1.6, "followed on the head")])
def test_a_model_of_the_room_before_which_the_head_turns_loses(error_px: float, surface_px: float, word: str) -> None:
    best, why = select_candidate([LANDMARKS, candidate("colmap_scene", error_px, surface_px)])
    assert best is LANDMARKS and word in why


def test_where_the_followed_points_agree_it_is_the_tracker_that_is_wrong() -> None:
    assert select_candidate([LANDMARKS, candidate("colmap_scene", error_px=3.0, surface_px=0.4)])[0].method == "colmap_scene"
    assert select_candidate([LANDMARKS, candidate("colmap_scene", error_px=3.0, surface_px=0.7)])[0] is LANDMARKS
    assert select_candidate([LANDMARKS, candidate("colmap_scene", error_px=5.0, surface_px=0.4)])[0] is LANDMARKS


@pytest.mark.parametrize(("on_face", "method"), [(7.0, "colmap_scene"), (1.0, "landmark_pose")])
def test_of_photos_the_model_must_have_points_on_the_face(on_face: float, method: str) -> None:
    ours, theirs = candidate("landmark_pose"), candidate("colmap_scene", error_px=3.0)
    for one in (ours, theirs):
        del one.figures["surface_error_px"]
    theirs.figures["face_points"] = on_face
    assert select_candidate([ours, theirs])[0].method == method


def test_a_model_of_the_head_must_fit_as_well_as_the_landmark_poses() -> None:
    assert select_candidate([LANDMARKS, candidate("colmap_head", 1.7, 0.65)])[0] is LANDMARKS
    assert select_candidate([LANDMARKS, candidate("colmap_head", 0.9, 0.45)])[0].method == "colmap_head"


def test_without_a_rival_the_plan_says_why() -> None:
    assert select_candidate([LANDMARKS], "COLMAP was not asked: the camera stands still")[1] == (
        "Landmark poses: COLMAP was not asked: the camera stands still."
    )


def test_asked_for_colmap_and_nothing_else() -> None:
    with pytest.raises(UnusableMaterial, match="cameras.method is colmap, but COLMAP found no model"):
        select_candidate([LANDMARKS], "COLMAP found no model", "colmap")


@pytest.mark.parametrize(
    ("still", "range_deg", "method", "kind"),
    [
        (0.0, 60.0, "auto", "scene"), (0.0, 8.0, "auto", ""), (0.9, 60.0, "auto", "head"), (0.9, 20.0, "auto", ""),
        (None, 50.0, "auto", "head"), (0.9, 5.0, "colmap", "head"), (0.0, 60.0, "landmarks", ""),
    ],
)  # fmt: skip
def test_colmap_is_asked_where_it_can_help(still: float | None, range_deg: float, method: str, kind: str) -> None:
    found, reason = plan(Background(still=still), range_deg, CameraSettings(method=method))  # type: ignore[arg-type]
    assert (found or "") == kind
    assert bool(reason) != bool(kind)


@pytest.mark.parametrize(
    ("answers", "parts_fit", "tried"),
    [
        ({"seeded": "right"}, False, ["seeded"]),
        ({}, False, ["seeded", "grown"]),
        ({"seeded": "wrong", "grown": "right"}, False, ["seeded", "grown"]),
        ({"seeded": "wrong", "grown": "wrong", "at_once": "right"}, False, ["seeded", "grown", "at_once"]),
        ({"seeded": "wrong", "grown": "wrong", "joined": "right"}, True, ["seeded", "grown", "joined"]),
        ({"grown": "wrong", "joined": "wrong"}, True, ["seeded", "grown", "joined", "at_once"]),
    ],
)
def test_further_ways_are_tried_only_while_every_model_has_a_problem(
    answers: dict[str, str], parts_fit: bool, tried: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Which ways COLMAP is asked, what is left where one finds nothing, and that the best is the last."""
    asked_for: list[str] = []

    def reconstruct(asked: Question, way: str, start: np.ndarray | None = None) -> list[str]:
        asked_for.append("joined" if start is not None else way)
        if asked_for[-1] not in answers:
            raise run.Failed(f"{way} found nothing")
        return [answers[asked_for[-1]]]

    def from_model(asked: Question, model: str, tracks: Tracks) -> Candidate:
        return candidate("colmap_scene", problems=() if model == "right" else ("it is wrong",))

    monkeypatch.setattr(run, "reconstruct", reconstruct)
    monkeypatch.setattr(solve.acceptance, "from_model", from_model)
    monkeypatch.setattr(solve.merge_submodels, "joined", lambda parts, reference: np.eye(4)[None] if parts_fit else None)
    asked = Question(
        kind="scene", partial=tmp_path, chosen=filmed().chosen, frame_size=SIZE, reference=LANDMARKS,
        settings=CameraSettings(), seed=0,
    )  # fmt: skip
    found, reason, late = ask_colmap(asked, Tracks.none())
    assert asked_for == tried and not late
    assert [one.figures["way"] for one in found] == [way for way in tried if way in answers]
    assert [one.problems == () for one in found] == [answers[one.figures["way"]] == "right" for one in found]
    assert reason == ("seeded found nothing" if "seeded" not in answers else "")


@pytest.mark.parametrize("limit_s", [1.0, 12.0])
def test_a_slow_colmap_ends_at_the_limit_and_the_landmarks_are_taken(
    limit_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that sleeps for minutes: not begun in too little time, ended where it was; the warning is kept with the capture."""
    sleeper, clip, begin = tmp_path / "sleep.sh", filmed(), time.monotonic()
    sleeper.write_text("#!/bin/sh\nexec sleep 300\n")
    sleeper.chmod(0o755)
    (tmp_path / "work" / "sfm_head").mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    monkeypatch.setattr(solve, "plan", lambda *words: ("head", ""))
    monkeypatch.setattr(solve, "background", lambda *words: None)
    monkeypatch.setattr(run, "_job", lambda question: {"names": []})
    settings, info = CameraSettings(follow_surface=False), SimpleNamespace(size=SIZE)
    figures = solve.solve(tmp_path, clip.chosen, info, settings, 0, Silent(), limit_s=limit_s)  # type: ignore[arg-type]
    assert time.monotonic() - begin < limit_s + 20
    assert (tmp_path / "colmap.log").exists() == (limit_s > solve.LEAST_S)
    assert figures["method"] == "landmark_pose" and "time" in figures["why"]
    assert [warning for warning in step_warnings(tmp_path) if "longer" in warning and f"{limit_s:.0f} s" in warning]
