"""The ways to a model from the features and matches in COLMAP's database; runs in the child process (`colmap.worker`).

`seeded`: with the poses of all views in the job (from the head's landmarks, right to a few degrees) no model is grown view by
view: features are triangulated from these poses and both are adjusted, in rounds that trust less and less. A model that is
grown from nothing can end inside out, with a focal length to match; one that starts the right way round stays so.
`grown`: view by view, as COLMAP does. `at_once`: all turns, then all places (GLOMAP, Pan et al. 2024).
"""

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


def seeded(job: dict[str, Any], folder: Path, database: Path) -> list[Any]:
    """The model triangulated from the job's poses and adjusted with them.

    Views whose matches the model does not bear out started too far from where they belong: they start anew, from the others.
    """
    poses = job["poses"]
    model = rounds(job, folder, database, poses, ROUNDS)
    for _ in range(2):
        share = explained(model, database)
        usual = sorted(share.values())[int(0.75 * len(share))] if share else 0.0
        good = {name for name, value in share.items() if value >= max(DOUBTFUL * usual, LEAST_EXPLAINED)}
        if len(good) < LEAST_SIGHTINGS:
            return [model]
        if len(good) == len(poses):
            break
        poses = {name: pose for name, pose in poses_of(model).items() if name in good}
        model = rounds({**job, "focal_px": optics(model)[0]}, folder, database, poses, ROUNDS[1:])
    if len(poses) == len(job["names"]):
        return [model]
    model = _with_the_others(job, folder, database, model)
    if len(poses) < len(job["poses"]):  # halves that were joined by few can still be bent against each other
        model = rounds({**job, "focal_px": optics(model)[0]}, folder, database, poses_of(model), ROUNDS)
    return [model]


def grown(job: dict[str, Any], folder: Path, database: Path) -> list[Any]:
    """The models grown view by view, the largest first."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors = 1, job["seed"], False
    options.ba_refine_focal_length, options.ba_refine_extra_params = not job["focal_known"], False
    options.min_focal_length_ratio, options.max_focal_length_ratio = 0.4, 4.0
    options.mapper.num_threads, options.mapper.random_seed, options.triangulation.random_seed = 1, job["seed"], job["seed"]
    options.mapper.init_min_tri_angle, options.mapper.init_min_num_inliers = 6.0, 50
    options.ba_global_frames_ratio, options.ba_global_points_ratio = 1.3, 1.3
    options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 30, 15
    found = pycolmap.incremental_mapping(str(database), str(folder / "images"), str(folder / "models"), options=options)
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def at_once(job: dict[str, Any], folder: Path, database: Path) -> list[Any]:
    """The models of GLOMAP, the largest first."""
    import pycolmap

    options = pycolmap.GlobalPipelineOptions()
    options.num_threads, options.random_seed = 1, job["seed"]
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed = 1, job["seed"]
    mapper.rotation_averaging.random_seed = mapper.global_positioning.random_seed = job["seed"]
    mapper.retriangulation.random_seed = job["seed"]
    mapper.global_positioning.use_gpu = mapper.bundle_adjustment.ceres.use_gpu = False
    mapper.bundle_adjustment.refine_focal_length = not job["focal_known"]
    mapper.bundle_adjustment.refine_extra_params = False
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    found = pycolmap.global_mapping(str(database), str(folder / "images"), str(folder / "models"), options=options)
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def poses_of(model: Any) -> dict[str, Any]:
    """camera_from_world [3,4] of every registered image, by its name."""
    return {image.name: image.cam_from_world().matrix().tolist() for image in model.images.values() if image.has_pose}


def optics(model: Any) -> tuple[float, float]:
    """Focal length (px) and k1 of the model's camera."""
    camera = next(iter(model.cameras.values()))
    return float(camera.params[0]), float(camera.params[3])


def rounds(job: dict[str, Any], folder: Path, database: Path, poses: dict[str, Any], steps: tuple[Any, ...]) -> Any:
    """Triangulated and adjusted in turn, in the job's size."""
    import pycolmap

    model = _posed({**job, "poses": poses}, folder, database)
    longest = max(job["width"], job["height"])
    for share, angle_deg, free in steps:
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
        adjust(model, within / 4, free and not job["focal_known"], free and "k1" in job)
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


def _with_the_others(job: dict[str, Any], folder: Path, database: Path, model: Any) -> Any:
    """The model with the images that had no pose to start from, as far as they join."""
    import pycolmap

    core = folder / "core"
    core.mkdir(exist_ok=True)
    model.write(str(core))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors, options.multiple_models = 1, job["seed"], False, False
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    options.ba_global_frames_ratio, options.ba_global_points_ratio = 1.3, 1.3
    options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 15, 15
    options.ba_global_max_refinements, options.ba_local_max_refinements = 1, 1
    mapper = options.mapper
    mapper.num_threads, mapper.random_seed, options.triangulation.random_seed = 1, job["seed"], job["seed"]
    mapper.abs_pose_refine_focal_length = mapper.abs_pose_refine_extra_params = False
    mapper.abs_pose_max_error, mapper.filter_max_reproj_error = 6.0, 2.5
    mapper.abs_pose_min_num_inliers, mapper.abs_pose_min_inlier_ratio = 15, 0.15
    found = pycolmap.incremental_mapping(
        str(database), str(folder / "images"), str(folder / "models"), options=options, input_path=str(core)
    )
    whole = max(found.values(), key=lambda one: one.num_reg_images(), default=model)
    for _ in range(2):
        adjust(whole, 0.5, not job["focal_known"])
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
    numbers = " ".join(repr(float(value)) for value in (job["focal_px"], *job["center_px"], job.get("k1", 0.0)))
    (start / "cameras.txt").write_text(f"{camera.camera_id} SIMPLE_RADIAL {camera.width} {camera.height} {numbers}\n")
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


def adjust(model: Any, loss_px: float, focal_free: bool, lens_free: bool = False) -> float:
    """Bundle adjustment with Cauchy's loss; the share by which it lowered the cost, 0 where nothing is seen."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length, options.refine_extra_params, options.print_summary = focal_free, lens_free, False
    options.ceres.loss_function_type, options.ceres.loss_function_scale = pycolmap.LossFunctionType.CAUCHY, loss_px
    solver = options.ceres.solver_options
    solver.num_threads = 1
    # focal length and lens trade against each other for long
    solver.max_num_iterations, solver.function_tolerance = (100, 1e-6) if lens_free else (30, 1e-4)
    config = pycolmap.BundleAdjustmentConfig()
    for number in model.reg_image_ids():
        config.add_image(number)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    solved: Any = pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    costs = getattr(solved, "ceres_summary", None)  # a model without points has none
    return float(1 - costs.final_cost / costs.initial_cost) if costs and costs.initial_cost > 0 else 0.0
