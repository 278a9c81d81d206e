"""All cases of `camera`, `planes` and `renderer`: the plain reference runs every one, our functions all that they have.

Outputs are named and shaped as in the manifest: channels last along rays, weights with a last axis of 1.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from models.camera import Camera, look_at, orbit
from models.eg3d.config import TINY128, EG3DConfig
from models.rendering.compositing import composite, expected_depth, interval_weights, sample_weights
from models.rendering.fields import Field
from models.rendering.renderer import render_rays, unsorted_weights
from models.rendering.sampling import Sampling, box_limits, importance, inverse_cdf, stratified
from models.volumes.decoders import Decoder
from models.volumes.planes import PLANE_AXES, as_texels, lookup
from tests import plain
from tests.reference import Tensors, compare, each_plane, golden_case, golden_cases, load_case_weights, projected

Run = Callable[[Tensors], Tensors]
FILES = {"camera": 7, "planes": 7, "renderer": 21}
NEAR, FAR = 2.25, 3.3
RENDERED: dict[str, EG3DConfig] = {
    "render_det0": TINY128, "render_given_u": TINY128, "render_nofine": replace(TINY128, depth_resolution_importance=0),
    "render_white_bw16": replace(TINY128, box_warp=1.6, white_back=True),
    "render_auto": replace(TINY128, ray_start="auto", ray_end="auto", compat_auto_limits=True),
    "render_disparity": replace(TINY128, disparity_space_sampling=True),
}  # fmt: skip
STRATIFIED = {"zero": 0.0, "half": 0.5}


# The plain reference


def plain_rays(size: int, inputs: Tensors) -> Tensors:
    return dict(zip(("ray_origins", "ray_directions"), plain.rays(inputs["c"], size), strict=True))


def plain_stratified(u: float, _: Tensors) -> Tensors:
    near, far, u_all = torch.full((1, 1, 1), NEAR), torch.full((1, 1, 1), FAR), torch.full((1, 1, 12, 1), u)
    return {
        "depths": plain.stratified(near, far, u_all), "depths_disparity": plain.stratified(near, far, u_all, disparity=True)
    }  # fmt: skip


def plain_limits(inputs: Tensors) -> Tensors:
    near, far = plain.box_limits(inputs["ro"], inputs["rd"], 1.0)
    return {"start": near, "end": far}


def densities_of(inputs: Tensors) -> Tensor:
    return inputs.get("densities", torch.full_like(inputs["depths"], -200.0))  # `march_empty` stores none


def plain_march(white: bool, inputs: Tensors) -> Tensors:
    rgb, depth, weights = plain.march(inputs["colors"], densities_of(inputs), inputs["depths"], white)
    return {"rgb": rgb, "depth": depth, "weights": weights}


def plain_unified(inputs: Tensors) -> Tensors:
    first, second = ((inputs[f"d{n}"], inputs[f"c{n}"], inputs[f"s{n}"]) for n in (1, 2))
    return dict(zip(("depths", "colors", "densities"), plain.unified(first, second), strict=True))


def named(inputs: Tensors) -> Tensors:
    return {f"decoder.{name[3:]}": value for name, value in inputs.items() if name.startswith("sd.")}


def plain_render(config: EG3DConfig, inputs: Tensors) -> Tensors:
    batch, count, _ = inputs["ro"].shape
    exact = plain.exact_uniforms(batch, count, config.depth_resolution, config.depth_resolution_importance)
    given = plain.Uniforms(coarse=inputs.get("u_coarse", exact.coarse), fine=inputs.get("u_fine", exact.fine))
    weights = {name: value.requires_grad_(True) for name, value in named(inputs).items()}
    rendered = plain.render(weights, inputs["planes"], inputs["ro"], inputs["rd"], config, given)
    outputs: Tensors = dict(zip(("feat", "depth", "weight_total"), rendered, strict=True))
    if "gw" not in inputs:
        return outputs
    wanted = {f"grad.{name[8:]}": value for name, value in weights.items()} | {"grad_planes": inputs["planes"]}
    gradients = torch.autograd.grad((outputs["feat"] * inputs["gw"]).sum(), list(wanted.values()))
    return {**outputs, **dict(zip(wanted, gradients, strict=True))}


def plain_model(inputs: Tensors) -> Tensors:
    features = plain.sample_planes(inputs["planes"], inputs["pts"], "eg3d_released", 1.0)
    return dict(zip(("rgb", "sigma"), plain.decode(named(inputs), "decoder.net", features), strict=True))


PLAIN: dict[str, Run] = {
    "lookat_pivot0_r1.0": lambda i: {"cam2world": plain.orbit(i["hv"], torch.zeros(3), 1.0)},
    "lookat_pivot0.2_r2.7": lambda i: {"cam2world": plain.orbit(i["hv"], torch.tensor([0, 0, 0.2]), 2.7)},
    "gaussian_std0": lambda i: {"cam2world": plain.orbit(i["hv"], torch.zeros(3), 2.7)},
    "fov_to_intrinsics": lambda i: {"K": torch.stack([plain.diagonal_intrinsics(float(degrees)) for degrees in i["deg"]])},
    "create_cam2world_matrix": lambda i: {"cam2world": plain.look_at(i["forward"], i["origin"])},
    **{f"ray_sampler_{size}": partial(plain_rays, size) for size in (4, 7)},
    "generate_planes": lambda _: {
        "axes": plain.plane_matrices("eg3d_released"), "inv": torch.linalg.inv(plain.plane_matrices("eg3d_released"))
    },
    "project_onto_planes": lambda i: {"uv": plain.project(i["pts"], plain.plane_matrices("eg3d_released"))},
    "project_onto_planes_panohead_axes": lambda i: {"uv": plain.project(i["pts"], i["axes"])},
    **{f"sample_from_planes_bw{side}":
       partial(lambda side, i: {"feats": plain.sample_planes(i["planes"], i["pts"], "eg3d_released", side)}, side)
       for side in (1.0, 1.6)},
    "sample_from_3dgrid": lambda i: {"feats": plain.sample_grid(i["grid"], i["pts"])},
    "osg_decoder": lambda i: dict(zip(("rgb", "sigma"), plain.decode(named(i), "decoder.net", i["feats"]), strict=True)),
    **{f"sample_stratified_{name}": partial(plain_stratified, u) for name, u in STRATIFIED.items()},
    "sample_stratified_u": lambda i: {
        "depths": plain.stratified(torch.full((1, 1, 1), NEAR), torch.full((1, 1, 1), FAR), i["u"])
    },
    "get_ray_limits_box": plain_limits, "get_ray_limits_box_miss": plain_limits,
    "sample_stratified_tensor_limits": lambda i: {"depths": plain.stratified(i["start"], i["end"], torch.zeros(2, 3, 5, 1))},
    **{f"march_{name}": partial(plain_march, name == "white") for name in ("ffhq", "white", "empty")},
    "sample_importance_linspace": lambda i: {
        "z_fine": plain.importance(i["z_vals"], i["weights"], torch.linspace(0, 1, 8).expand(14, 8))
    },
    "sample_importance_given": lambda i: {"z_fine": plain.importance(i["z_vals"], i["weights"], i["u"])},
    "sample_pdf_det": lambda i: {
        "samples": plain.inverse_cdf(i["bins"], i["weights"], torch.linspace(0, 1, 10).expand(5, 10))
    },
    "sample_pdf_u": lambda i: {"samples": plain.inverse_cdf(i["bins"], i["weights"], i["u"])},
    "unify_samples": plain_unified,
    **{case: partial(plain_render, config) for case, config in RENDERED.items()},
    "run_model": plain_model,
}  # fmt: skip


# Ours


def ours_rays(size: int, inputs: Tensors) -> Tensors:
    origins, directions = Camera.from_label(inputs["c"]).rays(size)
    return {"ray_origins": origins, "ray_directions": directions}


def ours_axes(_: Tensors) -> Tensors:
    """The unit vectors are projected onto what a plane reads: its matrix, transposed, without the axis it leaves out."""
    read = projected(torch.eye(3)[None], PLANE_AXES["eg3d_released"])[0]
    left_out = 1 - read.sum(2, keepdim=True)
    inverse = torch.cat([read, left_out], dim=2)
    return {"axes": inverse.mT, "inv": inverse}


def ours_planes(side: float, inputs: Tensors) -> Tensors:
    return {"feats": each_plane(as_texels(inputs["planes"]), inputs["pts"], PLANE_AXES["eg3d_released"], side)}


def ours_grid(inputs: Tensors) -> Tensors:
    texels = inputs["grid"].permute(0, 2, 3, 4, 1)[:, None].expand(2, -1, -1, -1, -1, -1)
    return {"feats": lookup(texels, inputs["pts"], ((0, 1, 2),), 2.0)}


def decoder_of(inputs: Tensors) -> Decoder:
    decoder = Decoder(32, hidden=64, features=32)
    load_case_weights(decoder, inputs)
    return decoder


def ours_decoder(inputs: Tensors) -> Tensors:
    features, density = decoder_of(inputs)(inputs["feats"].mean(1))
    return {"rgb": features, "sigma": density[..., None]}


def ours_stratified(u: float, _: Tensors) -> Tensors:
    near, far, u_all = torch.full((1, 1, 1), NEAR), torch.full((1, 1, 1), FAR), torch.full((1, 1, 12), u)
    depths = {"depths": stratified(near, far, 12, u_all), "depths_disparity": stratified(near, far, 12, u_all, disparity=True)}
    return {name: value[..., None] for name, value in depths.items()}


def ours_limits(inputs: Tensors) -> Tensors:
    near, far, hit = box_limits(inputs["ro"], inputs["rd"], 1.0)
    return {"start": torch.where(hit, near, -1.0), "end": torch.where(hit, far, -2.0)}


def ours_march(white: bool, inputs: Tensors) -> Tensors:
    depths = inputs["depths"][..., 0]
    weights = interval_weights(densities_of(inputs)[..., 0], depths)
    samples = sample_weights(weights)
    color, _ = composite(inputs["colors"], samples, white_back=white)
    whole_batch = (bound.view(1, 1, 1).expand(2, 7, 1) for bound in (depths.min(), depths.max()))
    return {"rgb": color, "depth": expected_depth(samples, depths, *whole_batch), "weights": weights[..., None]}


def ours_importance(u: Tensor, inputs: Tensors) -> Tensors:
    return {"z_fine": importance(inputs["z_vals"][..., 0], inputs["weights"][..., 0], u.reshape(2, 7, 8))[..., None]}


def ours_unified(inputs: Tensors) -> Tensors:
    """Never sorted here: weights of unsorted samples, scattered into the order of the official ones."""
    depths, density = (torch.cat([inputs[f"{name}1"], inputs[f"{name}2"]], 2)[..., 0] for name in ("d", "s"))
    return {"weights": unsorted_weights(density, depths).gather(-1, depths.argsort(dim=-1, stable=True))}


def field_of(decoder: Decoder, planes: Tensor, side: float) -> Field:
    texels = as_texels(planes)
    return lambda points: decoder(lookup(texels, points, PLANE_AXES["eg3d_released"], side))


def sampling_of(inputs: Tensors, fine: int) -> Sampling:
    if "u_coarse" not in inputs:
        return Sampling(coarse=12, fine=fine, jitter="none")
    return Sampling(coarse=12, fine=fine, u_coarse=inputs["u_coarse"][..., 0], u_fine=inputs["u_fine"].view(2, 64, 12))


def ours_render(config: EG3DConfig, inputs: Tensors) -> Tensors:
    decoder, how = decoder_of(inputs), sampling_of(inputs, config.depth_resolution_importance)
    field = field_of(decoder, inputs["planes"], config.box_warp)
    rendered = render_rays(field, inputs["ro"], inputs["rd"], how, config.volume)
    outputs: Tensors = dict(zip(("feat", "depth", "weight_total"), rendered, strict=True))
    if "gw" not in inputs:
        return outputs
    wanted = {f"grad.{name}": parameter for name, parameter in decoder.named_parameters()} | {"grad_planes": inputs["planes"]}
    gradients = torch.autograd.grad((outputs["feat"] * inputs["gw"]).sum(), list(wanted.values()))
    return {**outputs, **dict(zip(wanted, gradients, strict=True))}


def ours_model(inputs: Tensors) -> Tensors:
    features, density = field_of(decoder_of(inputs), inputs["planes"], 1.0)(inputs["pts"])
    return {"rgb": features, "sigma": density[..., None]}


OURS: dict[str, Run] = {
    "lookat_pivot0_r1.0": lambda i: {"cam2world": orbit(i["hv"][:, 0], i["hv"][:, 1], 1.0)},
    "lookat_pivot0.2_r2.7": lambda i: {"cam2world": orbit(i["hv"][:, 0], i["hv"][:, 1], 2.7, (0.0, 0.0, 0.2))},
    "gaussian_std0": lambda i: {"cam2world": orbit(i["hv"][:, 0], i["hv"][:, 1], 2.7)},
    "create_cam2world_matrix": lambda i: {"cam2world": look_at(i["forward"], i["origin"])},
    **{f"ray_sampler_{size}": partial(ours_rays, size) for size in (4, 7)},
    "generate_planes": ours_axes,
    "project_onto_planes": lambda i: {"uv": projected(i["pts"], PLANE_AXES["eg3d_released"]).flatten(0, 1)},
    "project_onto_planes_panohead_axes": lambda i: {"uv": projected(i["pts"], PLANE_AXES["panohead"]).flatten(0, 1)},
    **{f"sample_from_planes_bw{side}": partial(ours_planes, side) for side in (1.0, 1.6)},
    "sample_from_3dgrid": ours_grid, "osg_decoder": ours_decoder,
    **{f"sample_stratified_{name}": partial(ours_stratified, u) for name, u in STRATIFIED.items()},
    "sample_stratified_u": lambda i: {
        "depths": stratified(torch.full((1, 1, 1), NEAR), torch.full((1, 1, 1), FAR), 12, i["u"][..., 0])[..., None]
    },
    "get_ray_limits_box": ours_limits, "get_ray_limits_box_miss": ours_limits,
    "sample_stratified_tensor_limits": lambda i: {
        "depths": stratified(i["start"], i["end"], 5, torch.zeros(2, 3, 5))[..., None]
    },
    **{f"march_{name}": partial(ours_march, name == "white") for name in ("ffhq", "white", "empty")},
    "sample_importance_linspace": partial(ours_importance, torch.linspace(0, 1, 8).expand(14, 8)),
    "sample_importance_given": lambda i: ours_importance(i["u"], i),
    "sample_pdf_det": lambda i: {"samples": inverse_cdf(i["bins"], i["weights"], torch.linspace(0, 1, 10).expand(5, 10))},
    "sample_pdf_u": lambda i: {"samples": inverse_cdf(i["bins"], i["weights"], i["u"])},
    "unify_samples": ours_unified,
    **{case: partial(ours_render, config) for case, config in RENDERED.items()},
    "run_model": ours_model,
}  # fmt: skip
NOT_OURS = {"fov_to_intrinsics": "a diagonal angle with rounded constants; cameras here have intrinsics"}


def expected(file: str, case: str, of_ours: bool = True) -> tuple[Tensors, Tensors]:
    """Inputs, of which planes want gradients, and outputs; for ours instead of sorted samples the weights that they get."""
    inputs, outputs = golden_case(file, case)
    if "gw" in inputs:
        inputs["planes"].requires_grad_(True)
    if of_ours and case == "unify_samples":
        outputs = {"weights": unsorted_weights(outputs["densities"][..., 0], outputs["depths"][..., 0])}
    return inputs, outputs


def limit(name: str) -> float:
    """The README's for rendered features and depths; all else are single formulas."""
    return 5e-4 if name in ("feat", "depth", "weight_total") else 1e-4 if name.startswith("grad") else 1e-5


def check(found: Tensors, outputs: Tensors) -> None:
    assert found.keys() == outputs.keys()
    for name, value in outputs.items():
        compare({name: found[name]}, {name: value}, limit(name) * (1 if not name.startswith("grad") else gradient_scale(value)))


def gradient_scale(gradient: Tensor) -> float:
    """Gradients are compared relative to their largest, also where that is below 1."""
    return min(1.0, float(gradient.abs().max()))


@pytest.mark.parametrize(("file", "case"), [(file, case) for file in FILES for case in golden_cases(file)])
def test_the_plain_form_is_the_official_one(file: str, case: str):
    inputs, outputs = expected(file, case, of_ours=False)
    check(PLAIN[case](inputs), outputs)


@pytest.mark.parametrize(("file", "case"), [(file, case) for file in FILES for case in golden_cases(file) if case in OURS])
def test_our_form_is_the_official_one(file: str, case: str):
    inputs, outputs = expected(file, case)
    check(OURS[case](inputs), outputs)


def test_no_case_is_left_out():
    cases = [case for file in FILES for case in golden_cases(file)]
    assert {file: len(golden_cases(file)) for file in FILES} == FILES
    assert set(PLAIN) == set(cases) and len(cases) == 35
    assert set(OURS) | set(NOT_OURS) == set(cases)
    assert not set(OURS) & set(NOT_OURS)
