"""COLMAP in a process of its own: `python -m pipelines.capture.sfm job.json` writes result.json beside it.

A separate program because native errors abort the interpreter, and because pycolmap loaded before OpenCV corrupts its PNG
writing; this module imports nothing else that could meet it. Everything is seeded, and mapping runs in one thread, so the same
images give the same cameras.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(job_path: Path) -> None:
    """Features, sequential matches and incremental mapping of the job's images; `result.json` lists the models found."""
    job = json.loads(job_path.read_text())
    folder, seconds = job_path.parent, {}
    (folder / "models").mkdir(exist_ok=True)
    database = folder / "database.db"
    database.unlink(missing_ok=True)
    for name, work in (("features", _features), ("matches", _matches)):
        start = time.perf_counter()
        work(job, folder, database)
        seconds[name] = time.perf_counter() - start
    start = time.perf_counter()
    models = _mapped(job, folder, database)
    seconds["mapping"] = time.perf_counter() - start
    draft = folder / "result.draft"
    draft.write_text(json.dumps({"models": models, "seconds": seconds}))
    draft.rename(folder / "result.json")


def _features(job: dict[str, Any], folder: Path, database: Path) -> None:
    """SIFT on all images of one pinhole camera; where a mask is 0 there are no features."""
    import pycolmap

    pycolmap.set_random_seed(job["seed"])
    reader = pycolmap.ImageReaderOptions(
        camera_model="SIMPLE_PINHOLE", camera_params=f"{job['focal_px']},{job['width'] / 2},{job['height'] / 2}"
    )
    if job["masks"]:
        reader.mask_path = str(folder / "masks")
    pycolmap.Database.open(str(database)).close()
    pycolmap.import_images(
        str(database), str(folder / "images"), camera_mode=pycolmap.CameraMode.SINGLE, image_names=job["names"], options=reader
    )  # in the order of time; extraction in threads would number them as it happens
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.num_threads, extraction.sift.max_num_features = job["threads"], job["features"]
    extraction.sift.first_octave = job["first_octave"]
    pycolmap.extract_features(
        str(database), str(folder / "images"), image_names=job["names"], camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
    )  # fmt: skip


def _matches(job: dict[str, Any], folder: Path, database: Path) -> None:
    import pycolmap

    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = 1  # in threads the approximate search finds other matches from run to run
    pairing = pycolmap.SequentialPairingOptions(overlap=job["overlap"], quadratic_overlap=True, loop_detection=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job["seed"]
    pycolmap.match_sequential(
        str(database), matching_options=matching, pairing_options=pairing, verification_options=verification,
        device=pycolmap.Device.cpu,
    )  # fmt: skip


def _mapped(job: dict[str, Any], folder: Path, database: Path) -> list[dict[str, Any]]:
    """The models, largest first: focal length, pose of every registered image, number and mean error of the points."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors = 1, job["seed"], False
    options.ba_refine_focal_length = not job["focal_known"]
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.4, 4.0
    options.mapper.num_threads, options.mapper.random_seed, options.triangulation.random_seed = 1, job["seed"], job["seed"]
    options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 6.0, 50
    options.ba_global_frames_ratio, options.ba_global_points_ratio = 1.3, 1.3
    options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 30, 15
    options.max_runtime_seconds = int(job["timeout_s"])
    found = pycolmap.incremental_mapping(str(database), str(folder / "images"), str(folder / "models"), options=options)
    models = []
    for model in found.values():
        images = {image.name: image.cam_from_world().matrix().tolist() for image in model.images.values() if image.has_pose}
        camera = next(iter(model.cameras.values()))
        models.append(
            {
                "focal_px": float(camera.params[0]), "images": dict(sorted(images.items())),
                "points": model.num_points3D(), "error_px": model.compute_mean_reprojection_error(),
            }
        )  # fmt: skip
    return sorted(models, key=lambda model: -len(model["images"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
