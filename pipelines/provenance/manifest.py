"""C2PA manifests: what made a video and that it is synthetic, signed. In the file (mp4, mov) or beside it (.c2pa).

A manifest is lost when a video is encoded again; the mark in the pictures is not (`pipelines.provenance.mark`). Signing copies
the file and adds a box: pictures and sound are not touched. Signatures are never the same twice, so what has to be the same
after a resumed drive is the file before it.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import __version__
from pipelines.core.errors import AvatarError, MissingTool
from pipelines.core.files import atomic, write_bytes
from pipelines.provenance.identity import TURN_OFF, identity, known_identity

EMBEDDED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}
OTHER = "application/octet-stream"
SIDECAR = ".c2pa"
ASSERTION = "org.avatarcli.render"
TOOL = "avatarcli"
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a manifest says and whether it can be believed."""

    state: str
    """`valid`, `tampered` or `absent`."""
    sidecar: bool = False
    problems: list[str] = field(default_factory=list)
    """C2PA's names of what does not fit."""
    issuer: str | None = None
    """`this machine`, `unknown` (nobody known vouches for the key), or the name of a trusted one."""
    signed_as: str | None = None
    """What the certificate calls itself."""
    tool: str | None = None
    version: str | None = None
    synthetic: str | None = None
    """Digital source type: trainedAlgorithmicMedia, compositeSynthetic, ..."""
    avatar: str | None = None
    consent: dict[str, Any] | None = None
    mark: str | None = None

    @property
    def ours(self) -> bool:
        return self.tool == TOOL and self.avatar is not None


def library() -> Any:
    """The package c2pa; MissingTool says how to get it or to do without."""
    try:
        import c2pa
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingTool(f"c2pa-python does not work here ({error}); pip install -c constraints.txt ., {TURN_OFF}.") from error
    return c2pa


def manifest(title: str, *, avatar: str, consent: Any, mark: str | None, composite: bool) -> dict[str, Any]:
    """The definition that is signed. `composite`: something that was filmed or recorded is in it as well."""
    agent = {"name": TOOL, "version": __version__}
    kind = SOURCES + ("compositeSynthetic" if composite else "trainedAlgorithmicMedia")
    made = {"action": "c2pa.created", "digitalSourceType": kind, "softwareAgent": agent}
    about = {"synthetic_media": True, "avatar": avatar, "consent": consent, "mark": mark, "tool": agent}
    assertions = [{"label": "c2pa.actions", "data": {"actions": [made]}}, {"label": ASSERTION, "data": about}]
    return {"claim_generator_info": [agent], "title": title, "assertions": assertions}


def sign(source: Path, out: Path, definition: dict[str, Any]) -> Path:
    """Write `out`: `source` with the manifest in it (mp4, mov), or the manifest of `source` alone (a sidecar)."""
    c2pa, own = library(), identity()
    embeds = out.suffix.lower() in EMBEDDED
    mime = EMBEDDED[out.suffix.lower()] if embeds else OTHER
    try:
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", own.chain.encode(), own.key.encode(), None))
        with signer, c2pa.Builder(json.dumps(definition)) as builder, source.open("rb") as stream:
            if not embeds:
                builder.set_no_embed()
                with (out.parent / f".{out.name}.copy").open("w+b") as copy:
                    Path(copy.name).unlink()
                    write_bytes(out, builder.sign(signer, mime, stream, copy))
                return out
            with atomic(out) as draft, draft.open("w+b") as signed:
                builder.sign(signer, mime, stream, signed)
    except c2pa.C2paError as error:
        raise AvatarError(f"{out} could not be signed: {error}; {TURN_OFF}.") from error
    return out


def sidecar_of(path: Path) -> Path:
    return path.with_suffix(SIDECAR)


def read_manifest(path: Path) -> Reading:
    """The manifest in `path`, else the one beside it."""
    inside = _report(path, EMBEDDED.get(path.suffix.lower(), OTHER), None) if path.suffix.lower() in EMBEDDED else None
    if inside is not None:
        return _reading(inside, sidecar=False)
    beside = sidecar_of(path)
    if beside.is_file():
        found = _report(path, OTHER, beside.read_bytes())
        return _reading(found, sidecar=True) if found else Reading(state="tampered", sidecar=True, problems=["unreadable"])
    return Reading(state="absent")


def _report(path: Path, mime: str, beside: bytes | None) -> dict[str, Any] | None:
    """C2PA's own report on a file, this machine's root being trusted; None when there is no manifest in it."""
    c2pa, own = library(), known_identity()
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("rb"))
        trusted = {"trust": {"user_anchors": own.root}} if own else {}
        context = stack.enter_context(c2pa.Context.from_dict(trusted | {"verify": {"remote_manifest_fetch": False}}))
        try:
            reader = stack.enter_context(c2pa.Reader(mime, stream, beside, context=context))
            return json.loads(reader.json())
        except c2pa.C2paError.ManifestNotFound:
            return None
        except c2pa.C2paError as error:
            return {"validation_state": "Invalid", "validation_status": [{"code": str(error)}]}


def _reading(report: dict[str, Any], sidecar: bool) -> Reading:
    active = report.get("manifests", {}).get(report.get("active_manifest"), {})
    codes = [status["code"] for status in report.get("validation_status") or []]
    problems = [code for code in codes if code != UNTRUSTED]
    signed_as = active.get("signature_info", {}).get("issuer")
    trusted = report.get("validation_state") == "Trusted"
    data = {one["label"].partition(".v")[0]: one["data"] for one in active.get("assertions", []) if "label" in one}
    actions = data.get("c2pa.actions", {}).get("actions", [])
    source = next((str(one["digitalSourceType"]) for one in actions if "digitalSourceType" in one), "")
    about = data.get(ASSERTION, {})
    tool = (active.get("claim_generator_info") or [{}])[0]
    return Reading(
        state="tampered" if problems or report.get("validation_state") == "Invalid" else "valid",
        sidecar=sidecar, problems=problems, issuer="this machine" if trusted else "unknown" if active else None,
        signed_as=signed_as, tool=tool.get("name"), version=tool.get("version"), synthetic=source.rpartition("/")[2] or None,
        avatar=about.get("avatar"), consent=about.get("consent"), mark=about.get("mark"),
    )  # fmt: skip
