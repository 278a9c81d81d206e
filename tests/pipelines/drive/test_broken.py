"""An avatar folder that was copied badly: one sentence before any work."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import WEIGHTS, content_id, hashed, load_avatar_record, save_avatar_record
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json, write_json
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings, drive
from pipelines.face.track import save_track
from pipelines.provenance import Provenance, ProvenanceSettings
from tests.pipelines.drive.takes import moving
from tests.tiny import write_tiny_avatar

GONE = None
HALF = b""


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("generator.safetensors", GONE, "generator.safetensors is missing. Make it with `avatarcli train"),
        ("generator.safetensors", HALF, "generator.safetensors was changed .* copy the avatar again"),
        ("expression_map.safetensors", GONE, "expression_map.safetensors is missing"),
        ("expression_map.safetensors", HALF, "expression_map.safetensors was changed"),
        ("landmarks.npz", GONE, "landmarks.npz is missing"),
        ("landmarks.npz", HALF, "landmarks.npz was changed"),
        ("avatar.json", GONE, "avatar.json is missing"),
        ("avatar.json", HALF, "avatar.json is not valid JSON"),
    ],
)
def test_a_part_that_is_missing_or_cut_off(tmp_path: Path, name: str, change: bytes | None, said: str):
    path = write_tiny_avatar(tmp_path / "a.avatar") / name
    path.unlink() if change is GONE else path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    save_track(tmp_path / "a.track", moving(12))
    with pytest.raises(UnusableMaterial, match=said):
        drive(tmp_path / "a.avatar", tmp_path / "a.track", tmp_path / "out.mp4", DriveSettings(size=32), Silent())
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("key", ["config", "expression", "frontal_camera", "image_size"])
def test_a_record_that_lacks_something(tmp_path: Path, key: str):
    path = write_tiny_avatar(tmp_path / "a.avatar") / "avatar.json"
    write_json(path, {name: value for name, value in read_json(path).items() if name != key})
    with pytest.raises(UnusableMaterial, match=f"avatar.json has no `{key}`. Make it with"):
        load_avatar(tmp_path / "a.avatar")


def test_weights_of_another_avatar(tmp_path: Path):
    path = write_tiny_avatar(tmp_path / "a.avatar") / "avatar.json"
    record = read_json(path)
    write_json(path, {**record, "config": {**record["config"], "w_dim": record["config"]["w_dim"] + 4}})
    with pytest.raises(UnusableMaterial, match="do not belong together"):
        load_avatar(tmp_path / "a.avatar")


def test_weights_that_were_edited_are_not_shown(tmp_path: Path):
    avatar = write_tiny_avatar(tmp_path / "a.avatar")
    save_avatar_record(avatar, replace(load_avatar_record(avatar), weights=hashed(avatar, WEIGHTS)))
    load_avatar(avatar)
    for name in WEIGHTS:
        whole = (avatar / name).read_bytes()
        (avatar / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(UnusableMaterial, match=f"{name} was changed since the avatar was made; copy the avatar again"):
            load_avatar(avatar)
        save_track(tmp_path / "a.track", moving(12))
        with pytest.raises(UnusableMaterial, match="was changed"):
            drive(avatar, tmp_path / "a.track", tmp_path / "out.mp4", DriveSettings(size=32), Silent())
        (avatar / name).write_bytes(whole)
    load_avatar(avatar)


def test_a_signature_says_what_is_rendered_whatever_the_records_say(tmp_path: Path):
    avatar = write_tiny_avatar(tmp_path / "a.avatar")
    whole = Provenance(avatar, ProvenanceSettings())
    path = avatar / "expression_map.safetensors"
    path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
    edited = Provenance(avatar, ProvenanceSettings())
    assert edited.id != whole.id and edited.payload != whole.payload
    assert edited.id == content_id(avatar, load_avatar_record(avatar))
