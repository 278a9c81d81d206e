"""Images with masks and poses of neck and head: shards of synthetic people, or `dataset.json` with 31 numbers a picture and
masks of the same names in a second folder or zip file.

Shards have the head as their world; here it is the body at rest in a family's own frame: the chest upright, neck and head
turned against it. Their poses are true, and get noise as labels of photographs have.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from models.camera import Camera
from models.head_frame import HeadFrame
from models.heads.skinned_body import POSE
from pipelines.core.errors import UnusableMaterial
from pipelines.face.ict import UNIT_CM
from pipelines.prior.people.body import CHEST, HEAD, JOINTS
from pipelines.prior.people.shards import read_shard, shard_paths
from pipelines.prior.train.images import LabeledImages, decoded, open_images, reader_of

NECK = JOINTS.index("neck")
NAMES = ("image", "alpha", "camera", "joints")


def open_posed(
    source: Path, masks: Path | None, frame: HeadFrame, *, noise_deg: float = 0.0, seed: int = 0, mirrored: bool = False
) -> LabeledImages:
    """The data set with `poses` and `masks`; UnusableMaterial names what is missing.

    `noise_deg`, the standard deviation of each of the six numbers, and `frame` are for shards.
    """
    if source.is_dir() and not (source / "dataset.json").exists() and any(source.glob("shard_*.npz")):
        return _of_shards(source, frame, noise_deg, seed, mirrored)
    images = open_images(source, mirrored=mirrored)
    if images.poses is None:
        raise UnusableMaterial(f"{source}: dataset.json has no poses; 31 numbers a picture are needed, the last {POSE} a pose.")
    if masks is None:
        raise UnusableMaterial(f"{source} comes without masks; name their folder or zip file with --set masks=PATH.")
    return _masked(images, masks)


def looked_at(images: LabeledImages) -> tuple[float, float, float]:
    """The point that is nearest to what lies in the middle of all pictures."""
    cameras = Camera.from_label(images.labels.double())
    origins, directions = (rays[:, 0] for rays in cameras.rays(1))
    across = torch.eye(3).to(directions) - directions[:, :, None] * directions[:, None]
    x, y, z = torch.linalg.lstsq(across.sum(0), (across @ origins[..., None]).sum(0)).solution[:, 0].tolist()
    return x, y, z


def _masked(images: LabeledImages, masks: Path) -> LabeledImages:
    """With the masks of the same names, whatever their endings."""
    read, names = reader_of(masks)
    by_stem = {_stem(name): name for name in names}
    if absent := [name for name in images.names if _stem(name) not in by_stem]:
        raise UnusableMaterial(f"{masks} has no mask for {absent[0]} ({len(absent)} are missing).")

    def mask(number: int) -> np.ndarray | None:
        found = decoded(read(by_stem[_stem(images.names[number])]))
        return None if found is None else found[..., 0]

    return replace(images, masks=mask)


def _stem(name: str) -> str:
    return str(Path(name).with_suffix(""))


def _of_shards(folder: Path, frame: HeadFrame, noise_deg: float, seed: int, mirrored: bool) -> LabeledImages:
    rows = [(path.name, read_shard(path, NAMES)) for path in shard_paths(folder)]
    images, alphas = (np.concatenate([shard[name] for _, shard in rows]) for name in ("image", "alpha"))
    placed = [in_body(shard, frame) for _, shard in rows]
    truth = torch.cat([poses for _, poses in placed])
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed)) * np.radians(noise_deg)
    return LabeledImages(
        names=tuple(f"{name}[{row}]" for name, shard in rows for row in range(len(shard["image"]))),
        labels=torch.cat([labels for labels, _ in placed]), pixels=lambda number: images[number], source=folder,
        mirrored=mirrored, poses=truth + noise, true_poses=truth, masks=lambda number: alphas[number],
    )  # fmt: skip


def in_body(shard: dict[str, np.ndarray], frame: HeadFrame) -> tuple[Tensor, Tensor]:
    """Labels [N,25] of the cameras about the body at rest, whose head lies where the frame says, and poses [N,6]."""
    joints = shard["joints"].astype(np.float64)
    rest_from_head = np.linalg.inv(joints[:, CHEST])
    cameras = rest_from_head @ shard["camera"][:, :16].reshape(-1, 4, 4).astype(np.float64)
    cameras[:, :3, 3] = frame.points(cameras[:, :3, 3] * (UNIT_CM / 100))
    cameras[:, :3, :3] = frame.prior_from_head[:3, :3] / frame.scale @ cameras[:, :3, :3]
    labels = np.concatenate([cameras.reshape(-1, 16), shard["camera"][:, 16:]], 1)
    turns = (rest_from_head @ joints[:, NECK], np.linalg.inv(joints[:, NECK]) @ joints[:, HEAD])
    vectors = [Rotation.from_matrix(turn[:, :3, :3]).as_rotvec() for turn in turns]
    return torch.from_numpy(labels).float(), torch.from_numpy(np.concatenate(vectors, 1)).float()
