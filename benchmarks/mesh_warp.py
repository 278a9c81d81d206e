"""How long the warp by a body takes for the points of one picture, and whether the fast search finds what the plain one finds.

    python benchmarks/mesh_warp.py [--rays 64] [--samples 96] [--threads 2] [--compared 4000] [--draft]

The points are those of a frontal picture of 3DPortraitGAN: rays from 2.7 units, between 2.25 and 3.3. The plain search compares
every face with each of `--compared` points. CPU time is that of all threads; on a machine that others use it says more than the
clock.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options  # noqa: E402
from models.camera import Camera, centered_intrinsics, orbit  # noqa: E402
from models.heads.bust import bust  # noqa: E402
from models.heads.mesh_warp import MeshWarp  # noqa: E402
from models.heads.nearest_face import FaceTree  # noqa: E402

POSES = {"at rest": [0.0] * 6, "turned": [0.1, 0.3, 0.05, 0.1, 0.4, 0.05]}


def points_of(rays: int, samples: int) -> Tensor:
    """[1,N,3] along the rays of a frontal picture."""
    pose = orbit(math.pi / 2, math.pi / 2, 2.7, (0.0, 0.0649, 0.0))
    origins, directions = Camera(world_from_camera=pose, intrinsics=centered_intrinsics(6.5104)).rays(rays)
    depths = torch.linspace(2.25, 3.3, samples)[:, None]
    return (origins[:, :, None] + depths * directions[:, :, None]).flatten(1, 2)


def row(warp: MeshWarp, pose: Tensor, points: Tensor, compared: int) -> dict[str, Any]:
    """Seconds of warping all points, with gradients for the pose, and the largest differences from the plain search."""
    wall, cpu = time.perf_counter(), time.process_time()
    warp.of(pose.requires_grad_())(points)
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    posed = warp.body.posed(pose.detach())[0]
    some = points[0, torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(0))[:compared]]
    plain_tree = FaceTree(warp.body.canonical, warp.faces, leaf=len(warp.faces))
    cpu = time.process_time()
    plain = plain_tree.nearest(posed, some, warp.reach)
    plain_s = (time.process_time() - cpu) * points.shape[1] / compared
    fast = warp.tree.nearest(posed, some, warp.reach)
    return took | {
        "plain_cpu_s": plain_s, "within_reach": float((fast.face < len(warp.faces)).double().mean()),
        "other_faces": int((fast.face != plain.face).sum()),
        "distance_off_m": float((fast.distance - plain.distance).abs().max()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rays", type=int, default=64)
    parser.add_argument("--samples", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compared", type=int, default=4000)
    options(parser)
    asked = parser.parse_args()
    run = Run.of("mesh_warp", asked)
    torch.set_num_threads(asked.threads)
    warp, points = MeshWarp(bust()), points_of(asked.rays, asked.samples)
    warp.of(torch.zeros(1, 6))(points[:, :10])  # compiled, or read from the cache
    rows = {name: row(warp, torch.tensor([pose]), points, asked.compared) for name, pose in POSES.items()}
    headline = {
        "CPU s an image": "turned.cpu_s", "of plain search": "turned.plain_cpu_s", "other faces": "turned.other_faces",
    }  # fmt: skip
    run.finish({"faces": len(warp.faces), "points": points.shape[1], **rows}, headline=headline)


if __name__ == "__main__":
    main()
