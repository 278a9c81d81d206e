"""The whole evaluation of small avatars on a solid: the frozen figures, what stands beside them, the page, and bad folders."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.layers import Layers
from pipelines.avatar.portrait import Portrait
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_json, write_json
from pipelines.core.stage import Silent
from pipelines.evaluate import default_out, evaluate, evaluate_model, faces, series
from pipelines.evaluate.compare import COMPARED, at, difference
from pipelines.evaluate.faces import Find
from pipelines.evaluate.page import sentences
from pipelines.evaluate.page_frames import distance, spaced_out
from pipelines.evaluate.protocol import Pictures
from pipelines.evaluate.summary import comparison
from tests.pipelines.train.test_page import check
from tests.tiny import write_tiny_avatar
from tests.worlds import quick_view, write_solid_capture


@pytest.fixture(autouse=True)
def drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that sees the prior's face everywhere, its mouth the more open the brighter the picture; it runs no network."""
    points = load_prior("quick").landmarks

    @contextmanager
    def tracker() -> Iterator[Find]:
        def find(image: np.ndarray) -> np.ndarray:
            seen = (points * (1, -1, -1) + 0.5) * len(image)
            seen[14, 1] = seen[13, 1] + 0.1 * len(image) * image.mean() / 255
            return seen

        yield find

    monkeypatch.setattr("pipelines.evaluate.recipe.tracker", tracker)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """a.capture with anna.avatar and bert.avatar made of it."""
    write_solid_capture(tmp_path / "a.capture")
    add_avatar(tmp_path / "anna.avatar", "1", 0.1)
    add_avatar(tmp_path / "bert.avatar", "2", 0.5)
    return tmp_path


def add_avatar(folder: Path, fingerprint: str, seconds: float) -> None:
    write_tiny_avatar(folder)
    change(folder / "avatar.json", capture={"fingerprint": "a" * 64, "name": "a.capture"})
    change(folder / "stage.json", fingerprint=fingerprint * 64, seconds={"plan": seconds, "appearance": 10.0})


def change(path: Path, **values: Any) -> None:
    write_json(path, {**read_json(path), **values})


def test_the_record_and_the_page(place: Path) -> None:
    found = evaluate(place / "anna.avatar")
    out = place / "anna.evaluation"
    assert found == read_json(out / "evaluation.json") and found["frames"] == 3
    model, dataset = load_avatar(place / "anna.avatar"), quick_view(place / "a.capture")
    frozen = evaluate_model(model, dataset)[0]
    assert {name: found[name] for name in frozen} == frozen, "protocol heldout-1 stays what it is"
    assert found["capture"] == {"fingerprint": "a" * 64, "name": "a.capture"} and found["name"] == "anna.avatar"
    assert found["seconds"]["video_to_avatar"] == 10.1 and found["seconds"]["train"]["all"] == 10.1
    assert found["tracking"]["avatar"]["found"] == found["tracking"]["filmed_found"] == 3
    yaws = np.degrees(0.35 * np.sin(2 * np.pi * np.array([0.85, 0.9, 0.95])))
    assert [frame["yaw_deg"] for frame in found["per_frame"]] == pytest.approx(yaws, abs=0.01)
    assert [(frame["name"], frame["time_s"]) for frame in found["per_frame"]] == [
        ("000051", 1.7), ("000054", 1.8), ("000057", 1.9)
    ]  # fmt: skip
    assert sum(found["yaw_bins"]["frames"]) == 3 and found["yaw_bins"]["range_deg"] == pytest.approx([yaws[0], yaws[2]])
    assert found["regions"]["frames_by_mean_face"] == 3 and found["regions"]["oracle"]["mouth"]["frames"] == 3
    assert found["lpips"]["avatar"] is None and set(found["baselines"]) == {"mean", "retrieval", "oracle"}
    assert found["identity_distance"]["avatar"] > 0 and "enlarged" not in found["regions"]
    assert found["flicker"]["pairs"] == 2 and found["flicker"]["avatar"] > 0
    record = read_json(out / "stage.json")
    assert record["stage"] == "evaluate" and "per_frame" not in record["figures"] and record["seconds"]["evaluation"] > 0
    page = (out / "report.html").read_text()
    check(page)
    assert page.count("data:image/jpeg;base64,") == 3 + 3 * 3
    assert f"evaluated at {model.image_size} pixels" in page and "PSNR in the head by |yaw|" in page
    assert str(place) not in page + (out / "evaluation.json").read_text()


def test_another_size_has_the_enlarged_render_beside_it(place: Path) -> None:
    found = evaluate(place / "anna.avatar", size=96)
    own = evaluate(place / "anna.avatar")
    assert found["image_size"] == 96 != own["image_size"] and found["frames"] == own["frames"]
    assert set(found["baselines"]) == {"mean", "retrieval", "oracle", "enlarged"}
    assert found["baselines"]["enlarged"] == found["avatar"], "nothing lies over the render of this avatar"
    for name in ("regions", "hair_color_noise", "flicker", "flicker_rms", "yaw_bins", "tracking", "identity_distance"):
        assert "enlarged" in found[name]
    page = (place / "anna-96.evaluation" / "report.html").read_text()
    assert "evaluated at 96 pixels" in page and "enlarged" in page
    assert evaluate(place / "anna.avatar", compare=place / "bert.avatar", size=96)["compared"]["image_size"] == 96


def test_filmed_frames_over_the_render_are_the_avatar_not_the_enlarged(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of references, half transparent white, as an avatar of the person's own frames brings it."""
    render = Portrait.render

    def with_references(self: Portrait, scene: Any, camera: Any, *, size: int, background: np.ndarray, choices: None) -> Layers:
        layers = render(self, scene, camera, size=size, background=background, choices=choices)
        white, share = np.ones((1, size, size, 4), np.float32), np.full((1, size, size, 1), 0.5, np.float32)
        return replace(layers, references=white, share=share)

    plain = evaluate(place / "anna.avatar", size=96)["avatar"]
    monkeypatch.setattr(Portrait, "render", with_references)
    found = evaluate(place / "anna.avatar", size=96, out=place / "with.evaluation")
    assert found["baselines"]["enlarged"] == plain and found["avatar"]["psnr_head"] != plain["psnr_head"]


def test_a_difference_is_three_times_as_strong_and_black_outside_the_frame() -> None:
    picture, inside = np.full((1, 4, 4, 3), 0.5), np.ones((1, 4, 4))
    inside[:, 0] = 0
    truth = Pictures(image=picture, matte=picture[..., 0], inside=inside)
    seen = distance(picture[0] + np.array([0.1, -0.1, 0.45]), truth, 0)
    assert (seen[0] == 0).all() and seen[1:] == pytest.approx(np.broadcast_to([0.3, 0.3, 1.0], (3, 4, 3)))


def test_what_is_there_already_is_not_measured_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(place / "anna.avatar")

    def never(*_: object) -> None:
        raise AssertionError("measured again")

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.evaluate.recipe.measure_avatar", never)
        assert evaluate(place / "anna.avatar") == first
    change(place / "anna.avatar" / "stage.json", fingerprint="9" * 64)
    assert evaluate(place / "anna.avatar")["fingerprint"] == "9" * 64, "beside the avatar it is renewed"
    change(place / "anna.avatar" / "stage.json", fingerprint="8" * 64)
    with pytest.raises(SettingError, match="--overwrite"):
        evaluate(place / "anna.avatar", out=place / "anna.evaluation")


def test_a_folder_of_somebody_else_is_not_replaced(place: Path) -> None:
    (place / "anna.evaluation").mkdir()
    (place / "anna.evaluation" / "letter.txt").write_text("dear")
    with pytest.raises(SettingError, match="was not made by"):
        evaluate(place / "anna.avatar")
    assert (place / "anna.evaluation" / "letter.txt").read_text() == "dear"


def test_an_interrupted_evaluation_leaves_no_result(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipelines.evaluate.recipe.evaluation_report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate(place / "anna.avatar")
    assert not (place / "anna.evaluation").exists()
    assert evaluate(place / "anna.avatar")["frames"] == 3
    assert not list(place.glob("*.partial"))


def test_two_avatars_beside_each_other(place: Path) -> None:
    found = evaluate(place / "anna.avatar", compare=place / "bert.avatar")
    out = place / "anna-and-bert.evaluation"
    assert default_out(place / "anna.avatar", place / "bert.avatar") == out
    assert found == read_json(out / "evaluation.json") and found["compared"]["name"] == "bert.avatar"
    assert found["compared"]["avatar"] == found["avatar"], "they have the same weights"
    assert found["difference"]["psnr_head"] == 0 and found["difference"]["regions.mouth.psnr"] == 0
    assert found["difference"]["lpips"] is None
    assert found["difference"]["seconds.video_to_avatar"] == pytest.approx(-0.4)
    assert [row[0] for row in comparison(found)[1]] == ["avatar", "compared: bert.avatar", "mean", "retrieval", "oracle"]
    page = (out / "report.html").read_text()
    check(page)
    assert "First minus second" in page and "anna is 0.00 dB above bert" in page
    assert page.count("<td>bert</td>") >= 3


def test_two_folders_of_one_name(place: Path) -> None:
    add_avatar(place / "older" / "anna.avatar", "3", 0.2)
    out = place / "both.evaluation"
    evaluate(place / "anna.avatar", out=out, compare=place / "older" / "anna.avatar")
    page = (out / "report.html").read_text()
    check(page)
    assert "<td>anna (the other)</td>" in page


def test_differences_are_first_less_second() -> None:
    first = {"avatar": {"psnr_head": 25.0}, "regions": {"avatar": {"mouth": {"psnr": 20.0}}}, "flicker": {"avatar": None}}
    second = {"avatar": {"psnr_head": 24.0}, "regions": {"avatar": {"mouth": {"psnr": None}}}, "flicker": {"avatar": 3.0}}
    found = difference(first, second)
    assert found["psnr_head"] == 1.0 and found["regions.mouth.psnr"] is None and found["flicker"] is None
    assert len(found) == len(COMPARED) and at(first, ("regions", "avatar", "eyes", "psnr")) is None


def test_avatars_of_other_captures_or_sizes_are_not_compared(place: Path) -> None:
    config = read_json(place / "bert.avatar" / "avatar.json")["config"]
    change(place / "bert.avatar" / "avatar.json", image_size=64, config={**config, "image_size": 64})
    with pytest.raises(UnusableMaterial, match="cannot be compared: their pictures have"):
        evaluate(place / "anna.avatar", compare=place / "bert.avatar")
    change(place / "bert.avatar" / "avatar.json", capture={"fingerprint": "b" * 64, "name": "b.capture"})
    with pytest.raises(UnusableMaterial, match=r"made from the capture a\.capture \(aaaaaaaa\), the other of b\.capture"):
        evaluate(place / "anna.avatar", compare=place / "bert.avatar")
    with pytest.raises(UnusableMaterial, match=r"nobody\.avatar does not exist"):
        evaluate(place / "anna.avatar", compare=place / "nobody.avatar")
    assert not list(place.glob("*.evaluation*"))


def test_the_capture_is_found_where_it_lies_and_under_another_name(place: Path) -> None:
    (place / "a.capture").rename(place / "renamed.capture")
    assert evaluate(place / "anna.avatar")["frames"] == 3
    (place / "far").mkdir()
    (place / "renamed.capture").rename(place / "far" / "a.capture")
    with pytest.raises(UnusableMaterial, match=r"a\.capture \(aaaaaaaa\) that bert\.avatar was made from is not next to it"):
        evaluate(place / "bert.avatar")
    assert evaluate(place / "bert.avatar", place / "far" / "a.capture")["frames"] == 3


def test_another_capture_is_refused(place: Path) -> None:
    shutil.copytree(place / "a.capture", place / "b.capture")
    change(place / "b.capture" / "stage.json", fingerprint="b" * 64)
    with pytest.raises(UnusableMaterial, match=r"was made of the capture a\.capture \(aaaaaaaa\), not of b\.capture") as caught:
        evaluate(place / "anna.avatar", place / "b.capture")
    assert caught.value.exit_code == 4


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_schema(path: Path) -> None:
    change(path, schema=99)


def without_origin(path: Path) -> None:
    write_json(path, {name: value for name, value in read_json(path).items() if name != "capture"})


def all_train(path: Path) -> None:
    record = read_json(path)
    write_json(path, {**record, "items": [{**item, "split": "train"} for item in record["items"]]})


def without_items(path: Path) -> None:
    write_json(path, {"schema": 1})


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("anna.avatar/avatar.json", Path.unlink), ("anna.avatar/avatar.json", truncate),
        ("anna.avatar/avatar.json", other_schema), ("anna.avatar/avatar.json", without_origin),
        ("anna.avatar/stage.json", Path.unlink), ("anna.avatar/generator.safetensors", Path.unlink),
        ("anna.avatar/generator.safetensors", truncate), ("anna.avatar/expression_map.safetensors", truncate),
        ("anna.avatar/landmarks.npz", truncate), ("a.capture/dataset.json", Path.unlink), ("a.capture/dataset.json", all_train),
        ("a.capture/dataset.json", without_items), ("a.capture/stage.json", truncate), ("a.capture/tracking.npz", Path.unlink),
        ("a.capture/tracking.npz", truncate), ("a.capture/frames/000057.jpg", Path.unlink),
        ("a.capture/mattes/000003.png", truncate),
    ],
)  # fmt: skip
def test_a_broken_folder_is_one_sentence_and_leaves_nothing(place: Path, file: str, fault) -> None:  # noqa: ANN001
    fault(place / file)
    with pytest.raises(UnusableMaterial) as caught:
        evaluate(place / "anna.avatar", place / "a.capture")
    said = str(caught.value)
    assert caught.value.exit_code == 4 and "\n" not in said and said.endswith("."), said
    assert not list(place.glob("*.evaluation*"))


def test_drives_beside_the_avatar_are_told_if_they_are_its_own(place: Path) -> None:
    for name, avatar in (("own", "1" * 64), ("other", "7" * 64)):
        record = {
            "stage": "drive",
            "fingerprint": "f",
            "seconds": {"render": 3.0, "track": 1.0},
            "figures": {"provenance": {"avatar": avatar}},
        }
        write_json(place / f"{name}.json", record)
    (place / "broken.json").write_text("{")
    (place / "list.json").write_text("[1]")
    found = evaluate(place / "anna.avatar")
    assert found["seconds"]["drive"] == {"own": {"render": 3.0, "track": 1.0, "all": 4.0}}
    assert found["seconds"]["video_to_avatar"] == 10.1


def test_renders_without_a_face_are_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Heard(Silent):
        def warn(self, text: str) -> None:
            warned.append(text)

    @contextmanager
    def blind() -> Iterator[Find]:
        yield lambda image: None

    warned: list[str] = []
    monkeypatch.setattr("pipelines.evaluate.recipe.tracker", blind)
    found = evaluate(place / "anna.avatar", progress=Heard())
    assert found["mouth_state"]["avatar"]["share"] is None and found["tracking"]["avatar"]["aed"] is None
    assert "in only 0 of 3 renders of anna.avatar" in warned[0]
    assert warned[0] in read_json(place / "anna.evaluation" / "stage.json")["warnings"]
    assert any("was not measured" in text for text in sentences(found))
    check((place / "anna.evaluation" / "report.html").read_text())


def test_frames_with_a_wrong_mouth_are_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = load_prior("quick").landmarks
    seen = iter([0.2] * 3 + [0.0] * 100)

    @contextmanager
    def tracker() -> Iterator[Find]:
        def find(image: np.ndarray) -> np.ndarray:
            found = (points * (1, -1, -1) + 0.5) * len(image)
            found[14] = found[13] + (0, next(seen) * len(image), 0)
            return found

        yield find

    monkeypatch.setattr("pipelines.evaluate.recipe.tracker", tracker)
    found = evaluate(place / "anna.avatar")
    assert found["mouth_state"]["avatar"]["share"] == 0.0 and found["mouth_state"]["avatar"]["open"] == 3
    assert [frame["mouth_right"] for frame in found["per_frame"]] == [False] * 3
    page = (place / "anna.evaluation" / "report.html").read_text()
    assert "Wrong mouths" in page and "0 of 3 filmed open" in page


def test_sentences_say_when_a_figure_proves_little(place: Path) -> None:
    found = evaluate(place / "anna.avatar")
    mouth = {"share": 0.5, "right": 1, "asked": 2, "open": 1, "open_right": 1, "closed": 1, "closed_right": 0}
    both = " ".join(sentences({**found, "mouth_state": {"avatar": mouth}}))
    assert "correctly open or closed in 1 of 2 frames (50%): 1 of 1 filmed open, 0 of 1 filmed closed." in both
    assert "says little" not in both
    one = " ".join(sentences({**found, "mouth_state": {"avatar": {**mouth, "open": 0, "open_right": 0}}}))
    assert "says little" in one and "To a face recognizer, render and filmed frame are " in one
    assert sentences({}) == []


def test_shown_frames_are_not_all_of_one_moment() -> None:
    assert spaced_out([20, 21, 19, 22, 5, 40, 41, 6, 30], 48) == [20, 5, 40, 30]
    assert spaced_out([1, 0, 2], 3) == [1, 0, 2]


def test_every_definition_is_in_the_record(place: Path) -> None:
    found = evaluate(place / "anna.avatar")
    assert set(faces.DEFINITIONS) | set(series.DEFINITIONS) | {"mouth", "eyes", "hair", "lpips", "hair_color_noise"} <= set(
        found["definitions"]
    )
    assert not re.search("nan|inf", json.dumps(found).lower().replace("inference", "").replace("mean", "").replace("info", ""))
