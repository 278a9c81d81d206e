"""The registry, its licenses, and the one way by which a file is downloaded."""

import hashlib
import io
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import IO, Any
from urllib.request import Request, urlopen

import pytest

from pipelines.assets.registry import (
    ENTRIES,
    NVIDIA,
    UNKNOWN,
    Entry,
    by_sha256,
    insist,
    license_of,
    permits,
    permitted,
)
from pipelines.assets.store import accept, fetch, over_https
from pipelines.core.errors import MissingTool, SettingError, UnusableMaterial
from pipelines.core.files import sha256_file
from pipelines.core.stage import Silent
from pipelines.prior.catalog import find_fetchable, find_listed, list_catalog
from tests.material import shared
from tests.worlds import write_unit_prior

CONTENT = b"weights" * 1000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def server() -> Iterator[str]:
    """An http address that serves CONTENT, or its rest where a range is asked for; /none is not there, /whole has no ranges."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if self.path != "/whole" else 0
            usual = 200 if not start else 206 if start < len(CONTENT) else 416
            self.send_response({"/none": 404, "/away": 302}.get(self.path, usual))
            if self.path == "/away":
                self.send_header("Location", "http://127.0.0.1/x")
            self.end_headers()
            self.wfile.write(CONTENT[start:])

        def log_message(self, format: str, *args: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def opened(url: str, there: int) -> IO[bytes]:
    """As `over_https`, for the http server here."""
    return urlopen(Request(url, headers={"Range": f"bytes={there}-"} if there else {}))


def entry(**changes: object) -> Entry:
    base = Entry(
        name="a.bin", kind="weight", gives="nothing", source="here", license="MIT", file="a.bin", url="https://example.org/a.bin",
        size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["face_landmarker.task", "SINet_Softmax.onnx", "blazeface.pth", "blazefaceback.pth", "anchors.npy"]
)
def test_sizes_and_hashes_are_true(name: str) -> None:
    path = shared(f"weights/{name}")
    known = next(one for one in ENTRIES if one.name == name)
    assert (known.size, known.sha256) == (path.stat().st_size, sha256_file(path))
    assert by_sha256(sha256_file(path)) == known


def test_every_entry_is_whole() -> None:
    assert len({one.name for one in ENTRIES}) == len(ENTRIES)
    for one in ENTRIES:
        assert one.gives and one.source and one.license and one.file and "research" in one.permits
        assert one.url is None or one.url.startswith("https://")
        assert one.sha256 is None or len(one.sha256) == 64


@pytest.mark.parametrize(
    ("license", "free"),
    [
        ("Apache-2.0", True), ("MIT", True), ("GPL-3.0-or-later", True), (NVIDIA, False), (UNKNOWN, False), ("", False),
        ("CC-BY-NC-4.0", False), ("CC BY NC", False), ("for research only", False), ("Non-Commercial", False),
        ("CC-BY-4.0", True),
    ],
)  # fmt: skip
def test_what_licenses_permit(license: str, free: bool) -> None:
    assert ("commercial" in permits(license)) is free
    assert permitted(license, "research") and permitted(license, "commercial") is free


def test_a_forbidden_use_names_the_license() -> None:
    insist("x", NVIDIA, "research")
    insist("x", NVIDIA, None)
    with pytest.raises(UnusableMaterial, match="x must not be used for commercial work: its license is NVIDIA") as caught:
        insist("x", NVIDIA, "commercial")
    assert caught.value.exit_code == 4


def test_stated_licenses() -> None:
    assert license_of("eg3d-ffhq512-fixed") == (NVIDIA, "registry entry eg3d-ffhq512-fixed")
    assert license_of("apache-2.0") == ("Apache-2.0", "stated by the user")
    assert license_of("unknown")[0] == UNKNOWN
    with pytest.raises(SettingError, match="eg3d-ffhq512-fixed.*Apache-2.0"):
        license_of("mine")


def test_a_file_is_fetched_once_and_checked(folder: Path, server: str) -> None:
    one = entry(url=f"{server}/a.bin")
    assert fetch(one, Silent(), opened).read_bytes() == CONTENT

    def never(url: str, there: int) -> IO[bytes]:
        raise AssertionError(url)

    assert fetch(one, Silent(), never) == folder / "a.bin"
    (folder / "a.bin").write_bytes(b"other")
    with pytest.raises(MissingTool, match="move it away"):
        fetch(one, Silent(), never)


@pytest.mark.parametrize(("content", "said"), [(CONTENT[:-1] + b"x", "sha256"), (CONTENT + b"x", "sends more than")])
def test_another_content_is_not_kept(folder: Path, content: bytes, said: str) -> None:
    with pytest.raises(MissingTool, match=said):
        fetch(entry(), Silent(), lambda url, there: io.BytesIO(content))
    assert not list(folder.iterdir())


def test_without_a_connection_it_says_how_to_get_it(folder: Path) -> None:
    def nobody(url: str, there: int) -> IO[bytes]:
        raise urllib.error.URLError("Name or service not known")

    with pytest.raises(MissingTool, match="could not be fetched.*Name or service not known.*by hand from here") as caught:
        fetch(entry(), Silent(), nobody)
    assert caught.value.exit_code == 3
    assert not list(folder.iterdir())


def test_a_refusing_server_is_a_sentence(folder: Path, server: str) -> None:
    with pytest.raises(MissingTool, match="could not be fetched"):
        fetch(entry(url=f"{server}/none"), Silent(), opened)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("page", ["a.bin", "whole"])
def test_a_broken_download_goes_on_where_it_stopped(folder: Path, server: str, page: str) -> None:
    one, asked = entry(url=f"{server}/{page}"), []
    with pytest.raises(MissingTool, match="ended after 3000 of 7000 bytes.*3000 bytes are kept, the same command continues"):
        fetch(one, Silent(), lambda url, there: io.BytesIO(CONTENT[:3000]))
    assert [path.stat().st_size for path in folder.iterdir()] == [3000] and not (folder / "a.bin").exists()

    def noted(url: str, there: int) -> IO[bytes]:
        asked.append(there)
        return opened(url, there)

    assert fetch(one, Silent(), noted).read_bytes() == CONTENT
    assert asked == [3000] and [path.name for path in folder.iterdir()] == ["a.bin"]


def test_what_was_kept_of_another_file_is_thrown_away(folder: Path, server: str) -> None:
    with pytest.raises(MissingTool, match="are kept"):
        fetch(entry(), Silent(), lambda url, there: io.BytesIO(b"x" * 3000))
    with pytest.raises(MissingTool, match="does not have the sha256"):
        fetch(entry(url=f"{server}/a.bin"), Silent(), opened)
    assert fetch(entry(url=f"{server}/a.bin"), Silent(), opened).read_bytes() == CONTENT


def test_a_license_that_binds_has_to_be_accepted() -> None:
    said: list[str] = []

    class Listening(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    accept(entry(), False, Listening())
    with pytest.raises(SettingError, match="NVIDIA.* --accept-license"):
        accept(entry(license=NVIDIA), False, Listening())
    accept(entry(license=NVIDIA), True, Listening())
    assert said[0].startswith("a.bin: MIT; permits research and commercial use") and NVIDIA in said[1]


@pytest.mark.parametrize("url", ["http://example.org/a", "file:///etc/passwd", "ftp://example.org/a"])
def test_only_https(folder: Path, url: str) -> None:
    with pytest.raises(MissingTool, match="not an https address"):
        fetch(entry(url=url), Silent())


def test_a_redirection_away_from_https_is_refused(server: str) -> None:
    from pipelines.assets.store import _HttpsAlone

    handler: Any = _HttpsAlone()
    with pytest.raises(MissingTool, match="not an https address"):
        handler.redirect_request(Request("https://a.org"), None, 302, "", {}, f"{server}/away")
    with pytest.raises(MissingTool, match="not an https address"):
        over_https(server)


@pytest.mark.parametrize("missing", ["url", "size", "sha256"])
def test_an_unknown_file_is_got_by_hand(folder: Path, missing: str) -> None:
    with pytest.raises(MissingTool, match="by hand"):
        fetch(entry(**{missing: None}), Silent(), lambda url, there: io.BytesIO(CONTENT))


def test_published_networks_say_how_to_import_them() -> None:
    with pytest.raises(MissingTool, match="prior import ffhq-fixed-triplanes512-128.pkl .*--license-of eg3d-ffhq512-fixed"):
        fetch(find_fetchable("eg3d-ffhq512-fixed"), Silent())


def test_the_shelf_lists_priors_and_entries(tmp_path: Path, folder: Path) -> None:
    names = [thing["name"] for thing in list_catalog()]
    assert names[0] == "quick" and "face_landmarker.task" in names and "eg3d-ffhq512-fixed" in names
    assert find_listed("quick")["weights"] == ["generator"]
    assert find_listed(str(write_unit_prior(tmp_path / "unit.prior").resolve()))["kind"] == "prior folder"
    assert find_listed("face_landmarker.task")["state"] == "can be fetched"
    folder.mkdir()
    (folder / "face_landmarker.task").write_bytes(b"x")
    assert find_listed("face_landmarker.task")["state"] == "here"
    with pytest.raises(SettingError, match="choose one of quick, eg3d-ffhq512-fixed"):
        find_listed("nobody")
    with pytest.raises(MissingTool, match="need not be fetched"):
        find_fetchable("quick")


def test_weights_trained_on_restricted_sets_carry_a_remark() -> None:
    remarks = {entry.name: entry.remark for entry in ENTRIES}
    assert "DIS5K" in remarks["birefnet-portrait"] and "DUTS" in remarks["u2net_human_seg"] and not remarks["u2net_custom"]
