"""What this machine has: each part is tried by using it, with a way to get what is missing."""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipelines.assets.store import KNOWN, find_weight, how_to_get
from pipelines.core.children import BROKEN, Expired, interpreter, run
from pipelines.core.errors import AvatarError, MissingTool
from pipelines.core.stage import Progress

REINSTALL = "Install avatarcli again: pip install -c constraints.txt ."
PACKAGES = ("avatarcli", "models", "pipelines")
ENCODERS = ("libx264", "libvpx-vp9", "prores_ks", "aac")
FREE_GB = 2.0
"""A capture takes about 0.3 GB, a training as much again."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One part: whether it works, what was found, what it is for, how to get it."""

    name: str
    ok: bool
    found: str
    needed_for: str
    required: bool = True
    """Whether `avatarcli run` with default settings needs it."""
    remedy: str = ""


def examine(progress: Progress) -> list[Check]:
    """All checks, the required ones first; each part that could crash is tried in a child process."""
    parts = [_packages, _torch, _ffmpeg, _pyav, _mediapipe, _c2pa, _prior, _disk, _gpu, _colmap, _landmarker, _rembg]
    checks = []
    with progress.task("checking", total=len(parts)) as task:
        for part in parts:
            checks.append(part())
            task.advance()
    return checks


def _packages() -> Check:
    """Foreign ones end the program before this; two installations may still be mixed."""
    homes = {name: str(Path(str(spec.origin)).parents[1]) for name in PACKAGES if (spec := find_spec(name)) and spec.origin}
    ok = len(homes) == len(PACKAGES) and len(set(homes.values())) == 1
    found = f"{', '.join(PACKAGES)} in {homes[PACKAGES[0]]}" if ok else f"not side by side: {homes}"
    remedy = "Another project's package hides avatarcli's: use another folder, or a virtual environment of its own."
    return Check(name="packages", ok=ok, found=found, needed_for="everything", remedy=remedy)


def _torch() -> Check:
    return _child("PyTorch", "import torch; torch.zeros(2).sum(); print(torch.__version__)", "everything")


def _pyav() -> Check:
    code = "import av; av.codec.Codec('hevc', 'r'); av.codec.Codec('h264', 'r'); print(av.__version__, 'reads h264 and hevc')"
    return _child("PyAV", code, "reading videos")


def _ffmpeg() -> Check:
    name, needed = "ffmpeg", "writing videos"
    try:
        import imageio_ffmpeg

        said = run([imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-encoders"], timeout_s=120).stdout.decode(
            errors="replace"
        )
        lost = [encoder for encoder in ENCODERS if encoder not in said]
        found = f"no encoder {', '.join(lost)}" if lost else f"{imageio_ffmpeg.get_ffmpeg_version()} writes h264, vp9, prores"
    except (ImportError, RuntimeError, AvatarError, *BROKEN) as error:
        lost, found = [name], str(error)
    return Check(name=name, ok=not lost, found=found, needed_for=needed, remedy=REINSTALL)


def _mediapipe() -> Check:
    code = (
        "import mediapipe as m, numpy as n; f = m.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True);"
        "f.process(n.zeros((64, 64, 3), n.uint8)); m.solutions.selfie_segmentation.SelfieSegmentation(); print(m.__version__)"
    )
    return _child("mediapipe", code, "finding the face and cutting the person out")


def _c2pa() -> Check:
    code = "import c2pa, cryptography; print(c2pa.sdk_version())"
    return _child("c2pa", code, "signed manifests (drive without them: --set provenance.manifest=false)")


def _colmap() -> Check:
    code = "import pycolmap; print(pycolmap.__version__, 'with CUDA' if pycolmap.has_cuda else 'on the CPU')"
    return _child("COLMAP", code, "cameras from the background (without it they come from landmarks)", required=False)


def _prior() -> Check:
    from pipelines.artifacts.prior import load_prior

    name, needed = "prior", "every avatar: it is the generator that training starts from"
    try:
        prior = load_prior("quick")
    except AvatarError as error:
        return Check(name=name, ok=False, found=str(error), needed_for=needed, remedy=REINSTALL)
    return Check(name=name, ok=True, found=f"{prior.name}, sha256 {prior.sha256[:12]}", needed_for=needed)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    remedy = f"Free {FREE_GB:.0f} GB, or work in another folder."
    return Check(
        name="disk", ok=free >= FREE_GB, found=f"{free:.0f} GB free here", needed_for="captures and avatars", remedy=remedy
    )


def _gpu() -> Check:
    import torch

    needed = "the presets workstation and paper; quick runs without"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found = f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
        return Check(name="GPU", ok=True, found=found, needed_for=needed, required=False)
    if torch.version.cuda is None:
        version = torch.__version__.partition("+")[0]
        remedy = f"This PyTorch is a CPU build; with an NVIDIA GPU: pip install --force-reinstall torch=={version} from PyPI."
    else:
        remedy = "PyTorch was built for CUDA but finds no GPU: check the NVIDIA driver with nvidia-smi."
    return Check(name="GPU", ok=False, found="PyTorch finds none", needed_for=needed, required=False, remedy=remedy)


def _landmarker() -> Check:
    name = "face_landmarker.task"
    needed = KNOWN[name].gives
    try:
        path = find_weight(name)
    except AvatarError as error:
        return Check(name=name, ok=False, found=str(error), needed_for=needed, required=False, remedy=how_to_get(name))
    found = str(path) if path else "not installed"
    return Check(name=name, ok=path is not None, found=found, needed_for=needed, required=False, remedy=how_to_get(name))


def _rembg() -> Check:
    from pipelines.assets.rembg_models import vouched_file
    from pipelines.assets.rembg_paths import REMBG_MODELS

    found = []
    for model in REMBG_MODELS:
        with suppress(MissingTool):
            found.append(f"{model} ({vouched_file(model)})")
    remedy = (
        f"Download one of {', '.join(REMBG_MODELS[:3])} as NAME.onnx from rembg's releases into ~/.u2net (or $U2NET_HOME), "
        "then run `avatarcli prior register NAME`."
    )
    needed = "mattes other than mediapipe's (capture --mattes NAME)"
    return Check(
        name="rembg models", ok=bool(found), found=", ".join(found) or "none", needed_for=needed, required=False, remedy=remedy
    )


def _child(name: str, code: str, needed_for: str, required: bool = True) -> Check:
    """Ok when `code` runs in a fresh process; its printed line is what was found."""
    try:
        done = run([*interpreter(), "-c", code], timeout_s=120)
        ok, said = done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr)
    except Expired:
        ok, said = False, b"no answer within 120 s"
    lines = said.decode(errors="replace").strip().splitlines()
    return Check(
        name=name, ok=ok, found=lines[-1] if lines else "crashed", needed_for=needed_for, required=required, remedy=REINSTALL
    )
