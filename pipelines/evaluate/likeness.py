"""How much the face of a render is the filmed one to a face recognizer, where the one of the registry is on this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.assets.store import find_weight
from pipelines.core.errors import MissingTool
from pipelines.evaluate.faces import Faces
from pipelines.evaluate.perceptual import Tool, commands, hashes

RECOGNIZER = "sface"
SIDE = 112
ANCHORS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Where recognizers of faces (ArcFace, SFace) want the eyes, the tip of the nose and the corners of the mouth, in px of 112."""
MESH = ((33, 133), (362, 263), (4,), (61,), (291,))
"""The same places among the 478 points, each a mean of some."""
Embed = Callable[[np.ndarray], np.ndarray]
"""uint8 [112,112,3] RGB -> [D]"""
DEFINITIONS = {
    "identity": (
        "mean cosine of a face recognizer's descriptions of render and filmed frame (1 is the same picture of a face), where "
        "both were tracked; retrieval and oracle show what another filmed frame of the person gets"
    )
}


def recognizer_tool() -> Tool:
    """The face recognizer of the registry."""
    try:
        path = find_weight(RECOGNIZER)
    except MissingTool as error:
        return Tool(name=RECOGNIZER, why=str(error))
    if path is None:
        return Tool(name=RECOGNIZER, why=f"no face recognizer is installed; {commands([RECOGNIZER])}.")
    return Tool(name=RECOGNIZER, call=load_recognizer(path), sha256=hashes(path))


def load_recognizer(path: Path) -> Embed:
    """The ONNX network of a file: uint8 RGB 112x112 -> its description of the face."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone: older files make it warn of every weight
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's own classes of errors have no common base
        raise MissingTool(f"{path} cannot be read as an ONNX network ({type(error).__name__}); get it again.") from error
    name, shape = session.get_inputs()[0].name, session.get_inputs()[0].shape
    if shape[1:] != [3, SIDE, SIDE]:
        raise MissingTool(f"{path} expects pictures of {shape[1:]}, not [3, {SIDE}, {SIDE}].")

    def embed(image: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: image.transpose(2, 0, 1)[None].astype(np.float32)})[0], np.float64).ravel()

    return embed


def likeness(tool: Tool, sequences: dict[str, tuple[np.ndarray, Faces]], truth: tuple[np.ndarray, Faces]) -> dict[str, Any]:
    """Mean cosine between the faces of each sequence (images, faces) and the true ones; None with `why` without a network."""
    if tool.call is None:
        return {**dict.fromkeys(sequences), "why": tool.why}
    known = embeddings(tool.call, *truth)
    found = {name: mean_cosine(embeddings(tool.call, *one), known) for name, one in sequences.items()}
    return {**found, "network": tool.name, "weights_sha256": list(tool.sha256)}


def embeddings(embed: Embed, images: np.ndarray, faces: Faces) -> list[np.ndarray | None]:
    """Descriptions of length 1 of the faces in images [N,S,S,3] of 0..1; None where none was found."""
    found: list[np.ndarray | None] = []
    for image, points, there in zip(images, faces.points, faces.found, strict=True):
        value = embed(align_face((image * 255).round().astype(np.uint8), points)) if there else None
        found.append(None if value is None else value / max(float(np.linalg.norm(value)), 1e-12))
    return found


def mean_cosine(ours: list[np.ndarray | None], theirs: list[np.ndarray | None]) -> float | None:
    """Mean cosine over the rows that both have; None without one."""
    cosines = [float(a @ b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return float(np.mean(cosines)) if cosines else None


def align_face(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [112,112,3]: the face of landmarks [478,3] turned, shifted and scaled to lie on ANCHORS as well as it can."""
    import cv2

    seen = np.stack([points[list(group), :2].mean(0) for group in MESH])
    matrix = fit_to_template(seen - 0.5, ANCHORS)
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def fit_to_template(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[2,3] the turn, scale and shift of points [P,2] that come nearest to `target` [P,2] (Umeyama 1991), without mirroring.

    With complex numbers: target = a source + b, a = sum conj(s) t / sum |s|^2 of the centered ones.
    """
    s, t = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    a = (np.conj(s - s.mean()) * (t - t.mean())).sum() / (np.abs(s - s.mean()) ** 2).sum()
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
