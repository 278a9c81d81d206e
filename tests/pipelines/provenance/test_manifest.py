"""Manifests: valid as signed, tampered when changed, of an unknown issuer elsewhere; streams stay as they were."""

import stat
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.core.errors import SettingError
from pipelines.media.encoder import write_video
from pipelines.media.open import open_container
from pipelines.provenance import identity as keys
from pipelines.provenance.identity import config_folder, identity, known_identity
from pipelines.provenance.manifest import manifest, read_manifest, sidecar_of, sign

CONSENT = {"who": "Anna", "when": "2026-11-21", "statement": "I agree.", "clip_sha256": None}
SAID = manifest("x.mp4", avatar="1" * 64, consent=CONSENT, mark="11111111", composite=False)
Make = Callable[[str], Path]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVATARCLI_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def film(tmp_path: Path) -> Make:
    def make(name: str) -> Path:
        random = np.random.default_rng(0)
        write_video(tmp_path / name, (random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(6)), Fraction(30000, 1001))
        return tmp_path / name

    return make


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with open_container(path) as container:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_signing_leaves_the_streams_alone_and_reads_back(tmp_path: Path, film: Make, name: str) -> None:
    plain = film(name)
    out = sign(plain, tmp_path / f"signed.{name[2:]}", SAID)
    assert packets(out) == packets(plain) and out.stat().st_size > plain.stat().st_size
    found = read_manifest(out)
    assert (found.state, found.issuer, found.ours, found.sidecar) == ("valid", "this machine", True, False)
    assert (found.avatar, found.mark, found.consent, found.synthetic) == (
        "1" * 64,
        "11111111",
        CONSENT,
        "trainedAlgorithmicMedia",
    )
    assert found.tool == "avatarcli" and found.version and found.signed_as == "avatarcli (self-signed)"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["config", name, out.name])


def test_elsewhere_the_issuer_is_unknown(tmp_path: Path, film: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    out = sign(film("a.mp4"), tmp_path / "b.mp4", SAID)
    monkeypatch.setenv("AVATARCLI_CONFIG", str(tmp_path / "another machine"))
    assert (read_manifest(out).state, read_manifest(out).issuer) == ("valid", "unknown") and not (
        tmp_path / "another machine"
    ).exists()
    identity()  # another key of the same names
    assert (read_manifest(out).state, read_manifest(out).issuer) == ("valid", "unknown")


def changed_at(path: Path, place: int) -> Path:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    return path


def test_a_changed_picture_is_tampering(tmp_path: Path, film: Make) -> None:
    out = changed_at(sign(film("a.mp4"), tmp_path / "b.mp4", SAID), -20)
    assert read_manifest(out).state == "tampered" and read_manifest(out).problems == ["assertion.bmffHash.mismatch"]


def test_a_changed_manifest_is_tampering(tmp_path: Path, film: Make) -> None:
    out = sign(film("a.mp4"), tmp_path / "b.mp4", SAID)
    changed_at(out, out.read_bytes().index(b"I agree."))
    assert read_manifest(out).state == "tampered" and "assertion.hashedURI.mismatch" in read_manifest(out).problems


def test_a_broken_manifest_is_no_crash(tmp_path: Path, film: Make) -> None:
    out = sign(film("a.mp4"), tmp_path / "b.mp4", SAID)
    data = bytearray(out.read_bytes())
    start = data.index(b"jumb")
    data[start : start + 600] = bytes(600)
    out.write_bytes(data)
    assert read_manifest(out).state == "tampered"


def test_other_formats_have_it_beside_them(tmp_path: Path, film: Make) -> None:
    plain = film("a.webm")
    before = plain.read_bytes()
    assert read_manifest(plain).state == "absent"
    sign(plain, sidecar_of(plain), SAID)
    assert plain.read_bytes() == before and (
        read_manifest(plain).state,
        read_manifest(plain).sidecar,
        read_manifest(plain).ours,
    ) == ("valid", True, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.c2pa", "a.webm", "config"]
    assert read_manifest(changed_at(plain, -3)).problems == ["assertion.dataHash.mismatch"]
    sidecar_of(plain).write_bytes(b"no manifest")
    assert read_manifest(plain).state == "tampered"


def test_what_was_filmed_makes_it_a_composite() -> None:
    said: Any = manifest("x", avatar="1", consent=None, mark=None, composite=True)
    kind = said["assertions"][0]["data"]["actions"][0]["digitalSourceType"]
    assert kind == "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"


def test_a_failed_signature_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(Exception, match="could not be signed"):
        sign(tmp_path / "text.mp4", tmp_path / "out.mp4", SAID)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "text.mp4"]


def test_the_key_is_private_made_once_and_forgets_its_root(config: Path) -> None:
    assert known_identity() is None and not config.exists()
    first = identity()
    assert [path.name for path in config.iterdir()] == ["signing.pem"]
    assert stat.S_IMODE((config / "signing.pem").stat().st_mode) == 0o600
    assert identity() == first and known_identity() == first
    assert first.key.count("PRIVATE KEY-----") == 2 and first.chain.count("BEGIN CERTIFICATE") == 2
    assert first.root.count("BEGIN CERTIFICATE") == 1 and first.chain.endswith(first.root)


def test_of_two_that_make_a_key_at_once_the_first_counts(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    honest = keys._fresh

    def late() -> str:
        monkeypatch.setattr(keys, "_fresh", honest)
        identity()
        return honest()

    monkeypatch.setattr(keys, "_fresh", late)
    mine = identity()
    assert mine == known_identity() and [path.name for path in config.iterdir()] == ["signing.pem"]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_a_broken_key_file_is_a_sentence(config: Path, text: str) -> None:
    config.mkdir()
    (config / "signing.pem").write_text(text)
    with pytest.raises(SettingError, match="no private key"):
        identity()


def test_a_folder_that_cannot_be_written_is_a_sentence(config: Path) -> None:
    config.write_text("a file where the folder should be")
    with pytest.raises(SettingError, match="AVATARCLI_CONFIG"):
        identity()


def test_where_the_configuration_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AVATARCLI_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert config_folder() == tmp_path / "xdg" / "avatarcli"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config_folder() == Path.home() / ".config" / "avatarcli"
