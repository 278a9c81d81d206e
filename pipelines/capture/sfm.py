"""COLMAP in a process of its own: `python -m pipelines.capture.sfm job.json` writes the job's result file beside it.

A separate program because native errors abort the interpreter, and because pycolmap loaded before OpenCV corrupts its PNG
writing; this module imports nothing else that could meet it. Everything is seeded, and adjustment runs in one thread, so the
same images give the same cameras.

With the poses of all views in the job (from the head's landmarks, right to a few degrees) no model is grown view by view:
features are triangulated from these poses and both are adjusted, in rounds that trust less and less. A model that is grown from
nothing can end inside out, with a focal length to match; one that starts the right way round stays so.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

ROUNDS = (
    (0.025, 2.5, False), (0.0125, 1.2, True), (0.00625, 0.6, True), (0.004, 0.4, True), (0.0025, 0.25, True), (0.002, 0.2, True)
)  # fmt: skip
"""Per round: how far a feature may lie from its point (share of the longer side), the same as an angle (degrees), and whether
the focal length is free. Landmark poses are off by a degree or three."""
DOUBTFUL, LEAST_EXPLAINED = 0.6, 0.15
"""A view is doubtful that has less than this part of the usual share of its matches borne out, or less than this share."""
LEAST_SIGHTINGS = 8
"""Of points of the model in a view, else the view is not registered."""


def main(job_path: Path) -> None:
    """Features, matches and a model of the job's images; the result lists the models found, the largest first."""
    job = json.loads(job_path.read_text())
    folder, seconds = job_path.parent, {}
    (folder / "models").mkdir(exist_ok=True)
    database = folder / "database.db"
    if not (folder / "matched").exists():
        database.unlink(missing_ok=True)
        for name, work in (("features", _features), ("matches", _matches)):
            start = time.perf_counter()
            work(job, folder, database)
            seconds[name] = time.perf_counter() - start
        (folder / "matched").touch()
    start = time.perf_counter()
    models = _seeded(job, folder, database) if job["poses"] else _mapped(job, folder, database)
    seconds["mapping"] = time.perf_counter() - start
    records = [{**_recorded(job, model), "explained": explained(model, database)} for model in models]
    draft = folder / "result.draft"
    draft.write_text(json.dumps({"models": records, "seconds": seconds}))
    draft.rename(folder / job["result"])


def _features(job: dict[str, Any], folder: Path, database: Path) -> None:
    """SIFT on all images of one pinhole camera; where a mask is 0 there are no features."""
    import pycolmap

    pycolmap.set_random_seed(job["seed"])
    reader = pycolmap.ImageReaderOptions(
        camera_model="SIMPLE_PINHOLE", camera_params=f"{job['focal_px']},{job['center_px'][0]},{job['center_px'][1]}"
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

    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = job["threads"]
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


def _seeded(job: dict[str, Any], folder: Path, database: Path) -> list[Any]:
    """The model triangulated from the job's poses and adjusted with them.

    Views whose matches the model does not bear out started too far from where they belong: they start anew, from the others.
    """
    poses = job["poses"]
    model = _rounds(job, folder, database, poses, ROUNDS)
    for _ in range(2):
        share = explained(model, database)
        usual = sorted(share.values())[int(0.75 * len(share))] if share else 0.0
        good = {name for name, value in share.items() if value >= max(DOUBTFUL * usual, LEAST_EXPLAINED)}
        if len(good) == len(poses) or len(good) < LEAST_SIGHTINGS:
            break
        poses = {image.name: image.cam_from_world().matrix().tolist() for image in model.images.values() if image.name in good}
        focal_px = float(next(iter(model.cameras.values())).params[0])
        model = _rounds({**job, "focal_px": focal_px}, folder, database, poses, ROUNDS[1:])
    if len(poses) == len(job["names"]):
        return [model]
    model = _grown(job, folder, database, model)
    if len(poses) < len(job["poses"]):  # halves that were joined by few can still be bent against each other
        poses = {image.name: image.cam_from_world().matrix().tolist() for image in model.images.values() if image.has_pose}
        focal_px = float(next(iter(model.cameras.values())).params[0])
        model = _rounds({**job, "focal_px": focal_px}, folder, database, poses, ROUNDS)
    return [model]


def _rounds(job: dict[str, Any], folder: Path, database: Path, poses: dict[str, Any], rounds: tuple[Any, ...]) -> Any:
    """Triangulated and adjusted in turn, in the job's size."""
    import pycolmap

    model = _posed({**job, "poses": poses}, folder, database)
    longest = max(job["width"], job["height"])
    for share, angle_deg, free in rounds:
        within = share * longest
        options = pycolmap.IncrementalPipelineOptions()
        options.num_threads, options.random_seed, options.extract_colors = 1, job["seed"], False
        options.ba_global_max_num_iterations = 1
        options.mapper.filter_max_reproj_error, options.mapper.random_seed = within, job["seed"]
        growth = options.triangulation
        growth.random_seed, growth.min_angle = job["seed"], 1.5
        growth.create_max_angle_error = growth.continue_max_angle_error = angle_deg
        growth.re_max_angle_error = 2 * angle_deg
        growth.merge_max_reproj_error = growth.complete_max_reproj_error = within
        model = pycolmap.triangulate_points(
            model, str(database), str(folder / "images"), str(folder / "models"), clear_points=True, options=options
        )
        _adjust(model, within / 4, free and not job["focal_known"])
    return model


def explained(model: Any, database: Path) -> dict[str, float]:
    """For each image of the model, the share of its verified matches, with others of the model, that are one point there."""
    import numpy as np
    import pycolmap

    store = pycolmap.Database.open(str(database))
    numbers, geometries = store.read_two_view_geometries()
    store.close()
    nothing = np.iinfo(np.uint64).max
    point_of = {
        number: np.array([point.point3D_id if point.has_point3D() else nothing for point in image.points2D], np.uint64)
        for number, image in model.images.items() if image.has_pose
    }  # fmt: skip
    counts = {number: [0, 0] for number in point_of}
    for number, geometry in zip(numbers, geometries, strict=True):
        one, other = pycolmap.pair_id_to_image_pair(number)
        if one in point_of and other in point_of and len(geometry.inlier_matches):
            matches = np.asarray(geometry.inlier_matches)
            ours, theirs = point_of[one][matches[:, 0]], point_of[other][matches[:, 1]]
            for image in (one, other):
                counts[image][0] += int(np.sum((ours == theirs) & (ours != nothing)))
                counts[image][1] += len(matches)
    return {model.images[number].name: same / total if total else 0.0 for number, (same, total) in counts.items()}


def _grown(job: dict[str, Any], folder: Path, database: Path, model: Any) -> Any:
    """The model with the images that had no pose to start from, as far as they join."""
    import pycolmap

    core = folder / "core"
    core.mkdir(exist_ok=True)
    model.write(str(core))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors, options.multiple_models = 1, job["seed"], False, False
    options.ba_refine_focal_length = False
    options.ba_global_frames_ratio, options.ba_global_points_ratio = 1.3, 1.3
    options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 15, 15
    options.ba_global_max_refinements, options.ba_local_max_refinements = 1, 1
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed, options.triangulation.random_seed = 1, job["seed"], job["seed"]
    mapper.abs_pose_refine_focal_length, mapper.abs_pose_max_error, mapper.filter_max_reproj_error = False, 6.0, 2.5
    mapper.abs_pose_min_num_inliers, mapper.abs_pose_min_inlier_ratio = 15, 0.15
    options.max_runtime_seconds = int(job["timeout_s"])
    found = pycolmap.incremental_mapping(
        str(database), str(folder / "images"), str(folder / "models"), options=options, input_path=str(core)
    )
    whole = max(found.values(), key=lambda one: one.num_reg_images(), default=model)
    for _ in range(2):
        _adjust(whole, 0.5, not job["focal_known"])
    return whole


def _posed(job: dict[str, Any], folder: Path, database: Path) -> Any:
    """A model of cameras without points, by way of COLMAP's text files."""
    import pycolmap
    from scipy.spatial.transform import Rotation

    store = pycolmap.Database.open(str(database))
    camera, images = store.read_all_cameras()[0], store.read_all_images()
    store.close()
    start = folder / "start"
    start.mkdir(exist_ok=True)
    numbers = " ".join(repr(float(value)) for value in (job["focal_px"], *job["center_px"]))
    (start / "cameras.txt").write_text(f"{camera.camera_id} SIMPLE_PINHOLE {camera.width} {camera.height} {numbers}\n")
    lines = []
    for image in images:
        if image.name not in job["poses"]:
            continue
        rows = job["poses"][image.name]
        x, y, z, w = Rotation.from_matrix([row[:3] for row in rows]).as_quat()
        pose = " ".join(repr(float(value)) for value in (w, x, y, z, *(row[3] for row in rows)))
        lines.append(f"{image.image_id} {pose} {camera.camera_id} {image.name}\n\n")
    (start / "images.txt").write_text("".join(lines))
    (start / "points3D.txt").write_text("")
    return pycolmap.Reconstruction(str(start))


def _adjust(model: Any, loss_px: float, focal_free: bool) -> None:
    """Bundle adjustment with Cauchy's loss."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length, options.refine_extra_params, options.print_summary = focal_free, False, False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.CAUCHY, loss_px
    solver = options.ceres.solver_options
    solver.num_threads, solver.max_num_iterations, solver.function_tolerance = 1, 30, 1e-4
    pycolmap.bundle_adjustment(model, options)


def _mapped(job: dict[str, Any], folder: Path, database: Path) -> list[Any]:
    """The models grown view by view, the largest first."""
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
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def _recorded(job: dict[str, Any], model: Any) -> dict[str, Any]:
    """Focal length, poses of the registered images, number and mean error of the points, and every sighting of a point."""
    number = {name: row for row, name in enumerate(job["names"])}
    images, sightings = {}, []
    for image in model.images.values():
        seen = [(*point.xy.tolist(), *model.points3D[point.point3D_id].xyz.tolist()) for point in image.points2D
                if point.has_point3D()] if image.has_pose else []  # fmt: skip
        if len(seen) >= LEAST_SIGHTINGS:
            images[image.name] = image.cam_from_world().matrix().tolist()
            sightings += [[number[image.name], *values] for values in seen]
    camera = next(iter(model.cameras.values()))
    return {
        "focal_px": float(camera.params[0]), "images": dict(sorted(images.items())), "points": model.num_points3D(),
        "error_px": model.compute_mean_reprojection_error() if model.num_points3D() else 1e9, "sightings": sorted(sightings),
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
