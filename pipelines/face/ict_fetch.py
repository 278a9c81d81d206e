"""Makes the face model's file from ICT-FaceKit's public repository: 160 files, each checked, then packed into one.

`ict_facekit.sha256` lists what the files must be; one that differs is refused, whoever served it. Only the vertices of each are
kept, so an interrupted fetch goes on with the file where it stopped. A clone of the repository does instead of the network.
"""

import hashlib
import shutil
import urllib.error
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import numpy as np

from pipelines.assets.store import Connect, over_https, weights_folder
from pipelines.core.errors import MissingTool
from pipelines.core.files import atomic, write_arrays
from pipelines.core.stage import Progress
from pipelines.face.ict import FILE

URL = "https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/HEAD/FaceXModel"
COMMIT = "da5f95a607f5"
HASHES = Path(__file__).with_name("ict_facekit.sha256")
NEUTRAL = "generic_neutral_mesh.obj"
LARGEST = 20 << 20
"""Bytes; the neutral mesh, the largest, has about 4 MB."""
EXTRA = ("PupilDilate", "cheekRaiser")
"""Shapes that the model's own list of expressions leaves out."""
PARTS = {
    "face": (0, 9409), "head_neck": (9409, 11248), "mouth_socket": (11248, 13294), "eye_socket_L": (13294, 13678),
    "eye_socket_R": (13678, 14062), "gums_tongue": (14062, 17039), "teeth": (17039, 21451), "sclera_L": (21451, 22221),
    "iris_L": (22221, 23021), "sclera_R": (23021, 23791), "iris_R": (23791, 24591), "lacrimal_L": (24591, 24795),
    "lacrimal_R": (24795, 24999), "eyeblend_L": (24999, 25023), "eyeblend_R": (25023, 25047), "eyeocc_L": (25047, 25199),
    "eyeocc_R": (25199, 25351), "lashes_L": (25351, 26035), "lashes_R": (26035, 26719),
}  # fmt: skip
"""Vertices of the parts, as the model's README lists them; triangles are listed in the same order."""
LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443, 268, 493, 1914, 2044,
    1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511,
    3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533,
    6216, 6207, 6470, 5517, 5966,
)  # fmt: skip
Source = Callable[[str], bytes]
"""A file's name -> its content."""


def fetch_face_model(progress: Progress, folder: Path | None = None, connect: Connect | None = None) -> Path:
    """The packed file in the weights folder, made now unless it is there; MissingTool when a file cannot be had or differs."""
    path = weights_folder() / FILE
    if path.is_file():
        return path
    source = from_folder(folder) if folder else from_web(connect or over_https)
    kept = path.with_suffix(".partial")
    kept.mkdir(parents=True, exist_ok=True)
    hashes = {name: sha256 for name, sha256 in known_hashes().items() if name.endswith(".obj")}
    with progress.task("fetching ict-facekit", len(hashes)) as task:
        for name, sha256 in hashes.items():
            _keep(kept / name, source, sha256)
            task.advance()
    write_arrays(
        path, **pack_arrays({name.removesuffix(".obj"): np.load(kept / f"{name}.npy") for name in hashes}, kept / NEUTRAL)
    )
    shutil.rmtree(kept)
    return path


def known_hashes() -> dict[str, str]:
    """sha256 by file name."""
    return {name: sha256 for sha256, name in (line.split() for line in HASHES.read_text().splitlines() if line)}


def from_folder(folder: Path) -> Source:
    """The files of a clone, given itself or its FaceXModel."""
    inside = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder

    def read(name: str) -> bytes:
        if not (inside / name).is_file():
            raise MissingTool(f"{inside / name} is not there; give a clone of github.com/ICT-VGL/ICT-FaceKit.")
        return (inside / name).read_bytes()

    return read


def from_web(connect: Connect) -> Source:
    def read(name: str) -> bytes:
        try:
            with closing(connect(f"{URL}/{name}", 0)) as stream:
                return stream.read(LARGEST)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            why = getattr(error, "reason", None) or error
            clone = "clone github.com/ICT-VGL/ICT-FaceKit and run avatarcli prior fetch ict-facekit --from FOLDER"
            raise MissingTool(
                f"{name} could not be fetched from {URL} ({why}): repeat when there is a network, or {clone}."
            ) from error

    return read


def _keep(path: Path, source: Source, sha256: str) -> None:
    """The vertices of a file as `name.npy`, and the whole neutral mesh, whose triangles are needed too."""
    vertices = path.with_name(path.name + ".npy")
    if vertices.is_file() and (path.name != NEUTRAL or path.is_file()):
        return
    content = source(path.name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise MissingTool(
            f"{path.name} is not the file of ICT-FaceKit that this version knows, and was not kept: "
            f"clone the repository, check out {COMMIT} and give it with --from."
        )
    if path.name == NEUTRAL:
        path.write_bytes(content)
    with atomic(vertices) as draft:
        np.save(draft, rows(content, b"v "))


def rows(content: bytes, word: bytes) -> np.ndarray:
    """[N,*] float32 numbers of the lines of an OBJ file that begin with `word`."""
    return np.array([line.split()[1:] for line in content.splitlines() if line.startswith(word)], np.float32)


def fan_triangles(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and texture coordinates [F,3] of an OBJ file's polygons, each fanned from its first corner: (0,1,2), (0,2,3)."""
    corners = [[word.split(b"/")[:2] for word in line.split()[1:]] for line in content.splitlines() if line.startswith(b"f ")]
    fans = [[polygon[0], polygon[k], polygon[k + 1]] for polygon in corners for k in range(1, len(polygon) - 1)]
    both = np.array(fans, dtype=object).astype(np.int64) - 1
    return both[..., 0], both[..., 1]


def pack_arrays(vertices: dict[str, np.ndarray], neutral: Path) -> dict[str, np.ndarray]:
    """The arrays of the face model's file."""
    content, mean = neutral.read_bytes(), vertices[neutral.stem]
    faces, faces_uv = fan_triangles(content)
    offsets = {name: (points - mean).astype(np.float16) for name, points in vertices.items() if name != neutral.stem}
    identity = sorted(name for name in offsets if name.startswith("identity"))
    expression = sorted(name for name in offsets if not name.startswith(("identity", *EXTRA)))
    return {
        "mean": mean, "uv": rows(content, b"vt ")[:, :2], "faces": faces.astype(np.uint16),
        "faces_uv": faces_uv.astype(np.uint16), "identity": np.stack([offsets[name] for name in identity]),
        "expression": np.stack([offsets[name] for name in expression]), "expression_names": np.array(expression),
        "part_names": np.array(list(PARTS)), "part_vertices": np.array(list(PARTS.values()), np.int32),
        "part_triangles": spans_of(faces), "landmarks68": np.array(LANDMARKS, np.int32),
    }  # fmt: skip


def spans_of(faces: np.ndarray) -> np.ndarray:
    """[parts,2] half-open spans of triangles; one that has only vertices of earlier parts belongs where it is listed."""
    owner = np.searchsorted([stop for _, stop in PARTS.values()], faces.max(1), side="right")
    listed_in = np.maximum.accumulate(owner)
    if (owner != listed_in).mean() > 0.01:
        raise MissingTool(f"{NEUTRAL} does not list its triangles part by part; this version cannot use it.")
    return np.searchsorted(listed_in, np.arange(len(PARTS))[:, None] + [0, 1]).astype(np.int32)
