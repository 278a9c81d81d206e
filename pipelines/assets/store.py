"""Optional weight files: where they are looked for, that they are what they claim to be, and how to get them.

Nothing is ever fetched unless `avatarcli prior fetch` asks for it: then by https alone, no larger than the registry says, and
kept only with the sha256 that the registry names. What a broken connection leaves is continued by the next call.
"""

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import IO

from pipelines.assets.registry import ENTRIES, Entry
from pipelines.core.errors import MissingTool, SettingError
from pipelines.core.files import read_json, sha256_file, write_json
from pipelines.core.stage import Progress

KNOWN = {entry.name: entry for entry in ENTRIES if entry.kind == "weight"}
CHUNK = 1 << 20
PARTIAL_CONTENT, NO_SUCH_RANGE = 206, 416
"""Of http."""
TIMEOUT_S = 30
REGISTERED = "registered.json"
"""In the weights folder: sha256 by entry of the files that the user has vouched for."""
Connect = Callable[[str, int], IO[bytes]]
"""A url and how many of its bytes are there -> the stream of the others if its `status` is 206, else of all."""


def weights_folder() -> Path:
    """$AVATARCLI_WEIGHTS, else ~/.cache/avatarcli/weights."""
    return Path(os.environ.get("AVATARCLI_WEIGHTS") or Path.home() / ".cache" / "avatarcli" / "weights").expanduser()


def find_weight(name: str) -> Path | None:
    """The checked file of a known name, or None when it is not there; MissingTool when its content is another's."""
    return _checked(KNOWN[name])


def how_to_get(name: str) -> str:
    weight = KNOWN[name]
    by_itself = f", or run avatarcli prior fetch {name}" if weight.fetchable else ""
    return f"Fetch {name} ({weight.license}) from {weight.source} and put it into {weights_folder()}{by_itself}."


def by_hand(entry: Entry) -> str:
    """What a person does to get an entry."""
    get = f"get {entry.file} by hand from {entry.source}, under the license {entry.license}"
    if entry.kind == "weight":
        return f"{get}, and put it into {'~/.u2net (or $U2NET_HOME)' if entry.home == 'rembg' else weights_folder()}"
    return f"{get}, then avatarcli prior import {entry.file} -o {entry.name}.prior --license-of {entry.name}"


def file_of(entry: Entry) -> Path | None:
    """Where its file is on this machine, unchecked; None when it is not there."""
    if entry.home == "rembg":
        from pipelines.assets.rembg_paths import rembg_file

        with suppress(MissingTool):
            return rembg_file(entry.name)
        return None
    path = weights_folder() / entry.file
    return path if path.is_file() else None


def registered(name: str) -> str | None:
    """The sha256 under which the user vouched for the local file of an entry, or None."""
    record = weights_folder() / REGISTERED
    found = read_json(record).get(name) if record.exists() else None
    return found if isinstance(found, str) else None


def register(entry: Entry, sha256: str | None = None) -> tuple[Path, str]:
    """Vouch for the local file of an entry whose hash is not known here: the file, and its sha256 as remembered from now on.

    With `sha256`, as its publisher states it, another content is refused. MissingTool when there is no file.
    """
    if entry.sha256 is not None:
        raise SettingError(f"{entry.name} need not be registered: its sha256 {entry.sha256[:12]}... is known.")
    path = file_of(entry)
    if path is None:
        raise MissingTool(f"there is no {entry.file} on this machine: {by_hand(entry)}.")
    content = sha256_file(path)
    if sha256 is not None and sha256.lower() != content:
        raise MissingTool(f"{path} has the sha256 {content}, not {sha256}; download it again or ask its publisher.")
    record = weights_folder() / REGISTERED
    write_json(record, {**(read_json(record) if record.exists() else {}), entry.name: content})
    return path, content


def vouched(name: str) -> Path:
    """The local file of an entry whose hash is not known here, as the user vouched for it; MissingTool says what to do."""
    entry, how = KNOWN[name], f"avatarcli prior register {name}"
    path = file_of(entry)
    if path is None:
        raise MissingTool(f"there is no {entry.file} on this machine: {by_hand(entry)}, then run {how}.")
    if (content := sha256_file(path)) != registered(name):
        raise MissingTool(
            f"no checksum is known for {path} (sha256 {content}): compare it with the publisher's, then run {how}."
        )
    return path


def accept(entry: Entry, accepted: bool, progress: Progress) -> None:
    """Show a license; one that does not permit every use has to be accepted, else SettingError."""
    progress.say(f"{entry.name}: {entry.license}; permits {' and '.join(entry.permits)} use. From {entry.source}.")
    if entry.bound and not accepted:
        raise SettingError(
            f"{entry.name} has the license {entry.license}: read it, then run the command again with --accept-license."
        )


def fetch(entry: Entry, progress: Progress, connect: Connect | None = None) -> Path:
    """Download an entry into the weights folder, or find it there; MissingTool when that cannot be done."""
    if entry.url is None or entry.size is None or entry.sha256 is None:
        raise MissingTool(f"{entry.name} cannot be fetched: its address, size or checksum is not known here; {by_hand(entry)}.")
    path = weights_folder() / entry.file
    if path.is_file() and _checked(entry):
        return path
    part = path.with_name(f".{entry.file}.{entry.sha256[:12]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        _download(entry, entry.url, entry.size, part, progress, connect or over_https)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        why = getattr(error, "reason", None) or error
        how = f"{kept} bytes are kept, the same command continues there" if (kept := _size(part)) else by_hand(entry)
        if not kept:
            part.unlink(missing_ok=True)
        raise MissingTool(f"{entry.name} could not be fetched from {entry.url} ({why}): {how}.") from error
    if sha256_file(part) != entry.sha256:
        part.unlink()
        raise MissingTool(
            f"{entry.url} does not have the sha256 {entry.sha256[:12]}... of {entry.name}; the download was discarded."
        )
    os.replace(part, path)
    return path


def _download(entry: Entry, url: str, size: int, part: Path, progress: Progress, connect: Connect) -> None:
    """The rest of the `size` bytes into `part`; what is there stays when the connection breaks, or ends too soon."""
    with progress.task(f"fetching {entry.name}", size // CHUNK + 1) as task:
        if (count := _size(part)) == size:
            return
        with closing(connect(url, count)) as stream, part.open("ab") as file:
            if getattr(stream, "status", 200) != PARTIAL_CONTENT:
                count = file.truncate(0)
            task.advance(count // CHUNK)
            while chunk := stream.read(CHUNK):
                count += len(chunk)
                if count > size:
                    part.unlink()
                    raise MissingTool(f"{url} sends more than the {size} bytes of {entry.name}; the download was discarded.")
                file.write(chunk)
                task.advance()
    if count < size:
        raise ConnectionError(f"it ended after {count} of {size} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def over_https(url: str, there: int = 0) -> IO[bytes]:
    """The stream of an https address, from byte `there` on if its server can; http, also by redirection, is refused."""
    _insist_on_https(url)
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        return urllib.request.build_opener(_HttpsAlone).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if there and error.code == NO_SUCH_RANGE:
            return over_https(url)
        raise


class _HttpsAlone(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        _insist_on_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _insist_on_https(url: str) -> None:
    if not url.startswith("https://"):
        raise MissingTool(f"{url} is not an https address; nothing was fetched.")


def _checked(entry: Entry) -> Path | None:
    path = weights_folder() / entry.file
    if not path.is_file():
        return None
    if entry.sha256 and _sha256(path, path.stat().st_mtime_ns) != entry.sha256:
        raise MissingTool(
            f"{path} does not have the sha256 {entry.sha256[:12]}... of {entry.name}; fetch it again or move it away."
        )
    return path


@lru_cache(maxsize=16)
def _sha256(path: Path, changed_ns: int) -> str:
    return sha256_file(path)
