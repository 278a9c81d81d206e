"""How fast a drive is: frames a second of tracking, mapping and rendering, and their share of real time.

    python benchmarks/drive_speed.py AVATAR DRIVER.mp4 [--size 128] [--threads 2] [--profile]

One drive for each precision, encoding and mark included, checks and signature not. The factor is the driver's length over the
seconds of tracking + mapping + rendering: 1 keeps up with the driver. CPU time is that of all threads and of the encoder, from
the first work on the driver to the finished file; on a machine that others use they say more than the clock. `--profile` prints
where the rendering goes.
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options  # noqa: E402
from pipelines.core.stage import Silent  # noqa: E402
from pipelines.drive import DriveSettings, ProvenanceSettings, drive  # noqa: E402
from pipelines.media.video import probe  # noqa: E402

PRECISIONS = ("float32", "bfloat16")
STEPS = ("track", "retarget", "render")


def bfloat16_here() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    info = Path("/proc/cpuinfo")
    return info.exists() and any(flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def row(avatar: Path, driver: Path, settings: DriveSettings, device: str) -> dict[str, float]:
    """Rates, their share of real time, and CPU time of one drive."""
    begun = sum(os.times()[:4])
    with tempfile.TemporaryDirectory() as folder:
        report = drive(avatar, driver, Path(folder) / "out.mp4", settings, Silent(), device)
    frames, took = report.figures["frames"], {name: report.seconds[name] for name in STEPS}
    whole, busy = sum(took.values()), sum(os.times()[:4]) - begun
    return {
        "frames": frames, "track_hz": frames / max(took["track"], 1e-3), "render_hz": frames / max(took["render"], 1e-3),
        "together_hz": frames / whole, "real_time_factor": probe(driver).duration_s / whole, "cpu_ms": 1000 * busy / frames,
    }  # fmt: skip


def profiled(avatar: Path, settings: DriveSettings) -> str:
    """The costliest operations of eight frames."""
    import numpy as np
    import torch
    from torch.profiler import ProfilerActivity, profile

    from pipelines.artifacts.avatar import load_avatar
    from pipelines.avatar.canvas import Canvas
    from pipelines.drive.motion.motion import Motion
    from pipelines.drive.render.output import make_background
    from pipelines.drive.render.painter import Painter, portrait_of

    loaded = load_avatar(avatar)
    pose = loaded.frontal.world_from_camera[0].double().numpy()
    motion = Motion(
        expression=np.tile(loaded.neutral, (8, 1)), world_from_camera=np.tile(pose, (8, 1, 1)), torso=np.zeros((8, 3))
    )
    side = settings.size or loaded.image_size
    painter = Painter(
        portrait=portrait_of(loaded, settings), canvas=Canvas.of_square(side), torso=None,
        batch=settings.batch, background=make_background("#808080", (side, side)),
    )  # fmt: skip
    list(painter.paint(motion, 0, 8))
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as found:
        list(painter.paint(motion, 0, 8))
    return found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=40)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("driver", type=Path)
    parser.add_argument("--size", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=DriveSettings().batch)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true")
    options(parser)
    asked = parser.parse_args()
    run = Run.of("drive_speed", asked)
    torch.set_num_threads(asked.threads)
    plain = DriveSettings(size=asked.size, batch=asked.batch, self_check=False, provenance=ProvenanceSettings(manifest=False))
    figures: dict[str, object] = {"threads": asked.threads, "bfloat16_in_processor": bfloat16_here()}
    for precision in PRECISIONS:
        settings = replace(plain, precision=precision)
        figures[precision] = row(asked.avatar, asked.driver, settings, asked.device)
        if asked.profile:
            print(profiled(asked.avatar, settings))
    headline = {
        "frames/s rendered": "float32.render_hz", "and tracked": "float32.together_hz",
        "of real time": "float32.real_time_factor", "in bfloat16": "bfloat16.real_time_factor",
    }  # fmt: skip
    run.finish(figures, headline=headline, inputs=[asked.avatar, asked.driver])


if __name__ == "__main__":
    main()
