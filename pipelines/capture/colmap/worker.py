"""COLMAP in a process of its own: `python -m pipelines.capture.colmap.worker job.json` writes the job's result file beside it.

A separate program because native errors abort the interpreter, and because pycolmap loaded before OpenCV corrupts its PNG
writing; nothing that is imported here could meet it. Everything is seeded, and matching and adjustment run in one thread, so
the same images give the same cameras. Features and matches are found once for all ways to a model
(`pipelines.capture.colmap.mapping`).
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.capture.colmap.budget import Budget, alone
from pipelines.capture.colmap.lens import with_lens
from pipelines.capture.colmap.mapping import LEAST_SIGHTINGS, at_once, explained, grown, optics, seeded
from pipelines.core.children import go_with_parent

WAYS = {"seeded": seeded, "grown": grown, "at_once": at_once}


def main(job_path: Path) -> None:
    """The job, once no other process works in its folder."""
    go_with_parent()
    job, budget = json.loads(job_path.read_text()), Budget()
    with alone(job_path.parent):
        if not (job_path.parent / job["result"]).exists():
            solve(job, job_path.parent, budget)


def solve(job: dict[str, Any], folder: Path, budget: Budget) -> None:
    """Features, matches and a model of the job's images; the result lists the models found, the largest first."""
    seconds: dict[str, float] = {}
    (folder / "models").mkdir(exist_ok=True)
    database = folder / "database.db"
    for name, work in (("features", _features), ("matches", _matches)):
        if not (folder / name).exists():
            start = time.perf_counter()
            budget.allow(job["longest_s"])
            work(job, folder, database)
            seconds[name] = time.perf_counter() - start
            (folder / name).touch()
    start = time.perf_counter()
    budget.allow(job["timeout_s"])
    models = WAYS[job["way"]](job, folder, database)
    seconds["mapping"] = time.perf_counter() - start
    lens: dict[str, Any] = {}
    if models and job["lens"]:
        start = time.perf_counter()
        models[0], lens = with_lens(job, folder, database, models[0])
        seconds["lens"] = time.perf_counter() - start
    records = [{**_recorded(job, model), "explained": explained(model, database)} for model in models]
    draft = folder / "result.draft"
    draft.write_text(json.dumps({"models": records, "lens": lens, "seconds": seconds}))
    draft.rename(folder / job["result"])


def _features(job: dict[str, Any], folder: Path, database: Path) -> None:
    """SIFT on all images of one camera, whose lens is straight as yet; where a mask is 0 there are no features."""
    import pycolmap

    database.unlink(missing_ok=True)
    pycolmap.set_random_seed(job["seed"])
    reader = pycolmap.ImageReaderOptions(
        camera_model="SIMPLE_RADIAL", camera_params=f"{job['focal_px']},{job['center_px'][0]},{job['center_px'][1]},0"
    )
    if job["masks"]:
        reader.mask_path = str(folder / "masks")
    pycolmap.Database.open(str(database)).close()
    pycolmap.import_images(
        str(database), str(folder / "images"), camera_mode=pycolmap.CameraMode.SINGLE, image_names=job["names"], options=reader
    )  # in the order of time; extraction in threads would number them as it happens
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads, extraction.sift.max_num_features = job["threads"], job["features"]
    extraction.sift.first_octave, extraction.sift.peak_threshold = job["first_octave"], job["peak_threshold"]
    pycolmap.extract_features(
        str(database), str(folder / "images"), image_names=job["names"], camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
    )  # fmt: skip


def _matches(job: dict[str, Any], folder: Path, database: Path) -> None:
    """Of the job's pairs, or of all pairs when it lists none."""
    import pycolmap

    store = pycolmap.Database.open(str(database))
    store.clear_two_view_geometries()  # of a run that was broken off; the matches of a pair are whole or not there
    store.close()
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = 1  # in threads the approximate search finds other matches from run to run
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job["seed"]
    options = {
        "matching_options": matching,
        "verification_options": verification,
        "device": pycolmap.Device.cpu,
    }
    if not job["pairs"]:
        pycolmap.match_exhaustive(str(database), **options)
        return
    listed = folder / "pairs.txt"
    listed.write_text("".join(f"{job['names'][one]} {job['names'][two]}\n" for one, two in job["pairs"]))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = str(listed)
    pycolmap.match_image_pairs(str(database), pairing_options=pairing, **options)


def _recorded(job: dict[str, Any], model: Any) -> dict[str, Any]:
    """Focal length, lens, poses of the registered images, number and mean error of the points, every sighting of a point."""
    number = {name: row for row, name in enumerate(job["names"])}
    images, sightings = {}, []
    for image in model.images.values():
        seen = [(*point.xy.tolist(), *model.points3D[point.point3D_id].xyz.tolist()) for point in image.points2D
                if point.has_point3D()] if image.has_pose else []  # fmt: skip
        if len(seen) >= LEAST_SIGHTINGS:
            images[image.name] = image.cam_from_world().matrix().tolist()
            sightings += [[number[image.name], *values] for values in seen]
    focal_px, k1 = optics(model)
    return {
        "focal_px": focal_px, "k1": k1, "images": dict(sorted(images.items())), "points": model.num_points3D(),
        "error_px": model.compute_mean_reprojection_error() if model.num_points3D() else 1e9, "sightings": sorted(sightings),
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
