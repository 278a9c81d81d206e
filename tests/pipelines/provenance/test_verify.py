"""What a drive leaves, and what `verify` makes of it."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json, write_image, write_json
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings, ProvenanceSettings, drive
from pipelines.drive.motion import follow_check
from pipelines.drive.motion import track as tracking
from pipelines.media.encoder import concat_segments, write_video
from pipelines.provenance.finding import Finding
from pipelines.provenance.manifest import Reading
from pipelines.provenance.mark import Marker
from pipelines.provenance.verify import Verdict, verify
from tests.avatarcli.cli import avatarcli
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.tiny import write_tiny_avatar

SMALL = DriveSettings(size=256, segment=8, batch=2, self_check=False)
ID = "1" * 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A marked and signed video with sound from the driver, and folders of pictures."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("made")
    for module in (tracking, follow_check):
        patch.setattr(module, "FaceTracker", ScriptedTracker)
    patch.setattr("pipelines.provenance.content_id", lambda avatar, record: ID)
    patch.setenv("AVATARCLI_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))
    avatar = write_tiny_avatar(folder / "anna.avatar")
    record = read_json(avatar / "avatar.json")
    consent = {"who": "Anna", "when": "2026-11-21", "statement": "I agree.", "clip_sha256": None}
    write_json(avatar / "avatar.json", {**record, "consent": consent})
    driver = write_driver(folder / "driver.mp4", 0.5 + 0.5 * np.sin(np.arange(8)))
    drive(avatar, driver, folder / "out.mp4", SMALL, Silent())
    drive(avatar, driver, folder / "frames", replace(SMALL, background="transparent", view="still"), Silent())
    neither = replace(SMALL, provenance=ProvenanceSettings(mark=False, manifest=False))
    drive(avatar, driver, folder / "neither.mp4", neither, Silent())
    patch.undo()
    return {name: folder / name for name in ("out.mp4", "frames", "neither.mp4", "driver.mp4")}


def test_a_render_says_what_it_is(made: dict[str, Path]) -> None:
    found = verify(made["out.mp4"])
    assert found.ours and found.manifest.state == "valid" and found.manifest.avatar == ID
    assert (found.manifest.synthetic, found.manifest.mark) == ("trainedAlgorithmicMedia", "11111111")
    assert found.mark.found and found.mark.payload == "11111111" and found.mark.sure
    said = found.sentence()
    assert "rendered by avatarcli" in said and "consent of Anna, 2026-11-21" in said and "names avatar 11111111" in said
    record = json.loads((made["out.mp4"].with_suffix(".json")).read_text())
    assert record["settings"]["provenance"] == {"mark": True, "manifest": True}
    told = record["figures"]["provenance"]
    assert (told["avatar"], told["mark"], told["manifest"]) == (ID, "11111111", "embedded") and len(
        told["unsigned_sha256"]
    ) == 64


def test_what_is_left_out_is_recorded(made: dict[str, Path]) -> None:
    record = json.loads((made["neither.mp4"].with_suffix(".json")).read_text())
    assert record["settings"]["provenance"] == {"mark": False, "manifest": False}
    assert record["figures"]["provenance"]["mark"] is None and record["figures"]["provenance"]["manifest"] is None
    assert any("left out as asked: the mark and the manifest" in text for text in record["warnings"])
    found = verify(made["neither.mp4"])
    assert not found.ours and "Not known to be rendered by avatarcli." in found.sentence()


def test_the_mark_stays_when_the_manifest_is_lost(made: dict[str, Path], tmp_path: Path) -> None:
    concat_segments([made["out.mp4"]], tmp_path / "copy.mp4")
    found = verify(tmp_path / "copy.mp4")
    assert found.ours and found.manifest.state == "absent" and found.mark.payload == "11111111"
    assert "It has no manifest." in found.sentence()


def test_tampering_is_said(made: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(made["out.mp4"].read_bytes())
    data[data.rindex(b"mdat") + 4000] ^= 4
    (tmp_path / "changed.mp4").write_bytes(data)
    found = verify(tmp_path / "changed.mp4")
    assert not found.ours and found.tampered and "changed after it was signed" in found.sentence()


def test_a_folder_of_pictures(made: dict[str, Path], tmp_path: Path) -> None:
    found = verify(made["frames"])
    assert found.ours and found.manifest.sidecar and found.mark.payload == "11111111"
    copy = Path(shutil.copytree(made["frames"], tmp_path / "copy"))
    write_image(copy / "frames" / "000003.png", np.zeros((256, 256, 4), np.uint8))
    assert verify(copy).manifest.problems == ["a picture differs from frames.sha256"] and not verify(copy).ours


def test_a_manifest_of_another_avatar_is_no_proof(made: dict[str, Path]) -> None:
    found = verify(made["out.mp4"])
    other = Verdict(manifest=replace(found.manifest, avatar="2" * 64), mark=found.mark)
    assert not other.ours and other.tampered and "different avatars" in other.sentence()
    unsure = Verdict(manifest=other.manifest, mark=replace(found.mark, sure=False))
    assert unsure.ours


def test_a_valid_manifest_of_another_tool_is_not_ours() -> None:
    nothing = Finding(found=False, payload=None, sure=False, z=7.0, false_alarm=1.0, scale=1.0, frames=9)
    camera = Reading(state="valid", issuer="unknown", signed_as="Camera Ltd", tool="camera", version="2")
    found = Verdict(manifest=camera, mark=nothing)
    assert not found.ours and "unknown issuer (Camera Ltd): camera 2" in found.sentence()
    assert found.record()["synthetic"] is None


def test_one_picture(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    picture = np.full((512, 512, 3), 128, np.uint8) + random.integers(0, 9, (512, 512, 3), np.uint8)
    write_image(tmp_path / "a.png", Marker("0a0b0c0d")(picture))
    assert verify(tmp_path / "a.png").mark.payload == "0a0b0c0d"


def test_a_flat_picture_has_no_room_for_a_mark(tmp_path: Path) -> None:
    write_image(tmp_path / "flat.png", Marker("0a0b0c0d")(np.full((256, 256, 3), 128, np.uint8)))
    write_image(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8))
    assert "No watermark was found (its pictures are too flat to hide one)." in verify(tmp_path / "flat.png").sentence()
    assert "No watermark was found." in verify(tmp_path / "noise.png").sentence()


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    for path, said in ((tmp_path / "gone.mp4", "does not exist"), (tmp_path, "no PNG"), (tmp_path / "text.mp4", "text.mp4")):
        with pytest.raises(UnusableMaterial, match=said):
            verify(path)


@pytest.mark.parametrize(("record", "kind"), [("avatar.json", "an avatar"), ("capture.json", "a capture")])
def test_a_folder_that_is_no_result(tmp_path: Path, record: str, kind: str) -> None:
    (tmp_path / record).write_text("{}")
    write_image(tmp_path / "face.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UnusableMaterial, match=f"is {kind}, not a result; give a video, a picture or a folder"):
        verify(tmp_path)


def test_on_the_command_line(made: dict[str, Path], tmp_path: Path) -> None:
    ours = avatarcli("verify", made["out.mp4"], "--json")
    assert ours.returncode == 0, ours.stderr
    result = json.loads(ours.stdout)
    assert (result["command"], result["status"], result["mark"]["payload"]) == ("verify", "ours", "11111111")
    assert result["manifest"]["issuer"] == "this machine" and result["mark"]["confidence"] > 0.999999
    elsewhere = avatarcli("verify", made["out.mp4"], env={"AVATARCLI_CONFIG": str(tmp_path / "none")})
    assert elsewhere.returncode == 0 and "signed by an unknown issuer" in elsewhere.stdout
    write_video(tmp_path / "foreign.mp4", (np.full((64, 64, 3), 9 * i, np.uint8) for i in range(5)), Fraction(10))
    foreign = avatarcli("verify", tmp_path / "foreign.mp4")
    assert foreign.returncode == 1 and foreign.stdout.startswith("Not known to be rendered by avatarcli.")
