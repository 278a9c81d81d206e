"""Mattes by rembg, with models that compute on this machine from a file whose content somebody has vouched for.

Notable choices: an allow-list, because some sessions of rembg upload the image and its default has a paid license; the file's
sha256 has to be the registry's or one the user has registered, because rembg checks local files never; and the session's own
way to its file is replaced by ours, so that it can download nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.assets.registry import ENTRIES, by_sha256
from pipelines.assets.rembg_paths import REMBG_MODELS, _local, form_of, rembg_file
from pipelines.assets.store import registered
from pipelines.core.errors import MissingTool, SettingError
from pipelines.core.files import sha256_file


def rembg_matting(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [H,W,3] RGB -> float32 [H,W] alpha; SettingError for a name not on the list, MissingTool for what is not here."""
    path = vouched_file(name)
    try:
        import onnxruntime
        from rembg import remove
        from rembg.sessions import sessions_class
    except (ImportError, SystemExit) as error:
        raise MissingTool(
            f"mattes.model = {name!r} needs rembg with onnxruntime ({error}); pip install 'rembg[cpu]'."
        ) from error
    known: Any = next(one for one in sessions_class if one.name() == name)
    form = form_of(path) if name == "u2net_custom" else None
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    options: Any = {"providers": ["CPUExecutionProvider"], "model_path": str(path)}
    session = _local(known, path, form)(name, quiet, **options)

    def matte(image: np.ndarray) -> np.ndarray:
        alpha = np.asarray(remove(image, session=session, only_mask=True), np.float32) / 255
        return 1 - alpha if form and form.background_first else alpha

    return matte


def vouched_file(name: str) -> Path:
    """The local file of a model; MissingTool unless its sha256 is known for it."""
    if name not in REMBG_MODELS:
        raise SettingError(f"mattes.model = {name!r}: choose mediapipe or one of {', '.join(REMBG_MODELS)}.")
    path = rembg_file(name)
    content = sha256_file(path)
    if not is_vouched(name, content):
        raise MissingTool(
            f"no checksum is known for {path} (sha256 {content}); compare it with the publisher's, then run "
            f"avatarcli prior register {name}, or use mattes.model=mediapipe."
        )
    return path


def is_vouched(name: str, sha256: str) -> bool:
    """Whether the registry or the user knows this content as the model's; `u2net_custom` may be any matting network we know."""
    known = next(entry for entry in ENTRIES if entry.name == name)
    other = by_sha256(sha256)
    custom = name == "u2net_custom" and other is not None and "u2net_custom" in other.gives
    return custom or sha256 in (known.sha256, registered(name))
