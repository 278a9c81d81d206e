"""Synthetic people: CPU seconds an image, share of frontal heads that the face tracker finds, the same bytes again, labels.

    python benchmarks/synth.py [--ict ../shared/ict] [--people 25] [--heads 100] [--sizes 128,256] [--orbit orbit.png]

One process with one numeric thread; CPU seconds hold where other work shares the machine. The tracker sees every head once at
256 pixels, within 20 degrees of the front, with any expression, over a soft background.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402

from benchmarks.record import Run, options  # noqa: E402
from pipelines.core.files import write_image  # noqa: E402
from pipelines.face.ict import FaceModel, find_face_model, load_face_model  # noqa: E402
from pipelines.face.tracker import FaceTracker  # noqa: E402
from pipelines.prior.people.person import Person  # noqa: E402
from pipelines.prior.people.posed import Pose, Posed  # noqa: E402
from pipelines.prior.people.scene import Picture, composite_over, draw_backdrop, draw_light, render_person, view_from  # noqa: E402
from pipelines.prior.people.sheet import tile_images  # noqa: E402
from pipelines.prior.people.shooting import SynthSettings, draw_pose  # noqa: E402
from pipelines.prior.people.stock import Stock  # noqa: E402
from pipelines.prior.people.synth import shard_of  # noqa: E402
from pipelines.prior.people.traits import draw_traits  # noqa: E402


def speed(model: FaceModel, size: int, people: int) -> dict[str, Any]:
    """CPU milliseconds an image, and whether the same shard comes again."""
    settings = SynthSettings(people=people, size=size, people_per_shard=people)
    stock = Stock(model, size)
    shard_of(stock, SynthSettings(people=1, size=size), 0)  # compiles
    begun = time.process_time()
    one = shard_of(stock, settings, 0)
    cpu = (time.process_time() - begun) / settings.images
    few = SynthSettings(people=2, size=size)
    pair = [shard_of(Stock(model, size), few, 0) for _ in range(2)]
    same = all((pair[0][name] == pair[1][name]).all() for name in pair[0])
    assert len(one["image"]) == settings.images
    return {"images": settings.images, "cpu_ms": 1000 * cpu, "same_again": same}


def heads(model: FaceModel, count: int, size: int = 256) -> dict[str, Any]:
    """How many frontal heads the tracker finds."""
    stock, found, missed = Stock(model, size), 0, []
    with FaceTracker(video=False) as tracker:
        for seed in range(count):
            random = np.random.default_rng([9, seed])
            picture = _picture(stock, 50_000 + seed, float(np.clip(random.normal(0, 9), -20, 20)), random)
            seen = tracker.track(composite_over(picture.image, picture.alpha, draw_backdrop(random, size))) is not None
            found += seen
            missed += [] if seen else [50_000 + seed]
    return {"tracked": found, "of": count, "missed": missed}


def orbit(model: FaceModel, path: Path, seed: int = 50_002, count: int = 12, size: int = 256) -> None:
    """One person from all around, for looking at."""
    stock = Stock(model, size)
    person = Person(stock, draw_traits(seed))
    posed, lamps = Posed(person, Pose(np.zeros(len(model.expression_names)))), draw_light(np.random.default_rng(3))
    pictures = [render_person(posed, view_from(360 * step / count, 5, 2.7), lamps, size) for step in range(count)]
    write_image(path, tile_images([picture.image for picture in pictures], 6))


def _picture(stock: Stock, seed: int, yaw_deg: float, random: np.random.Generator) -> Picture:
    posed = Posed(Person(stock, draw_traits(seed)), draw_pose(random, stock))
    view = view_from(yaw_deg, float(np.clip(random.normal(2, 5), -12, 12)), 2.7)
    return render_person(posed, view, draw_light(random), stock.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ict", type=Path, default=None)
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--heads", type=int, default=100)
    parser.add_argument("--sizes", default="128,256")
    parser.add_argument("--orbit", type=Path, default=None)
    options(parser)
    asked = parser.parse_args()
    run = Run.of("synth", asked)
    model = load_face_model(find_face_model(asked.ict))
    sizes = [int(size) for size in asked.sizes.split(",") if size]
    figures = {f"{size} px": speed(model, size, asked.people if size <= 128 else max(asked.people // 4, 1)) for size in sizes}
    if asked.heads:
        figures["frontal heads"] = heads(model, asked.heads)
    if asked.orbit:
        orbit(model, asked.orbit)
    headline = {f"CPU ms an image, {size} px": f"{size} px.cpu_ms" for size in sizes}
    if asked.heads:
        headline |= {"faces tracked": "frontal heads.tracked", "of": "frontal heads.of"}
    run.finish(figures, headline=headline)


if __name__ == "__main__":
    main()
