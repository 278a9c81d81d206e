"""The whole network against the official one, array by array of `tiny128_io` and `tiny512_io`, on recipe weights.

Two implementations are held to the same numbers: ours, and the plain reference that ours is compared with elsewhere.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.camera import Camera
from models.compute_mode import Compute
from models.eg3d.config import FFHQ512, TINY128, EG3DConfig
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from models.networks.stylegan2.resampling import blur, resize
from models.rendering.sampling import Sampling
from models.training.losses import density_smoothness, discriminator_loss, generator_loss, r1_penalty
from tests import plain
from tests.material import SHARED, shared
from tests.reference import GOLDENS, Tensors, largest_difference, recipe_state

Network = TypeVar("Network", bound=nn.Module)
TINY512 = replace(TINY128, image_size=512, neural_rendering_resolution=64, superresolution="8XDC")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How an array file was thinned out, and the README's tolerance of images, features and depths."""

    config: EG3DConfig
    raw_stride: int
    image_stride: int
    limit: float


FILES = {
    "tiny128": Stored(config=TINY128, raw_stride=1, image_stride=1, limit=5e-4),
    "tiny512": Stored(config=TINY512, raw_stride=2, image_stride=4, limit=1e-3),
}


@cache
def arrays(file: str) -> dict[str, np.ndarray]:
    """What is stored of a network: all of it where `../shared` is, a part of tiny128 in the repository."""
    found: dict[str, np.ndarray] = {}
    for folder in (GOLDENS, SHARED / "goldens" / "eg3d"):
        if (folder / f"{file}_io.npz").exists():
            with np.load(folder / f"{file}_io.npz") as stored:
                found |= {name: stored[name] for name in stored.files}
    return found


class Official:
    """The arrays as tensors, and the inputs that the README says how to draw instead."""

    def __init__(self, file: str):
        self.stored, self.config = FILES[file], FILES[file].config
        self.arrays = {name: torch.from_numpy(value) for name, value in arrays(file).items() if value.dtype.kind in "fi"}
        self.names = {network: arrays(file)[f"{network}_param_names"].tolist() for network in "GD"}
        self.z, self.label, self.condition = (self.arrays[name] for name in ("z", "c", "c_cond"))

    @property
    def uniforms(self) -> plain.Uniforms:
        if "u_coarse" in self.arrays:
            return plain.Uniforms(coarse=self.arrays["u_coarse"], fine=self.arrays["u_fine"])
        random = np.random.RandomState(77)
        coarse, fine = random.rand(1, 4096, 12, 1), random.rand(4096, 12)
        return plain.Uniforms(coarse=torch.from_numpy(coarse).float(), fine=torch.from_numpy(fine).float())

    @property
    def real(self) -> Tensor:
        if "real_image_f16" in self.arrays:
            return self.arrays["real_image_f16"].float()
        size = self.config.image_size
        return torch.from_numpy(np.random.RandomState(9).rand(1, 3, size, size) * 2 - 1).float()


class Ours:
    """The networks of models/."""

    def __init__(self, official: Official):
        self.official, self.config = official, official.config
        self.generator, self.discriminator = loaded(EG3D(self.config)), loaded(DualDiscriminator(self.config))

    def latents(self, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.generator.mapping(self.official.z, self.official.condition, psi, cutoff)

    def planes(self, ws: Tensor) -> Tensor:
        return self.generator.planes(ws)

    def images(
        self, ws: Tensor, *, noise: plain.Noise = "const", uniforms: plain.Uniforms | None = None, raw_size: int | None = None
    ) -> plain.Images:
        generator, sampling = self.generator, self.config.sampling("none")
        if raw_size is not None:
            generator = loaded(EG3D(replace(self.config, neural_rendering_resolution=raw_size)))
        if uniforms is not None:
            coarse, fine = uniforms.coarse[..., 0], uniforms.fine.view(len(ws), -1, uniforms.fine.shape[1])
            sampling = Sampling(coarse=coarse.shape[2], fine=fine.shape[2], u_coarse=coarse, u_fine=fine)
        camera, size = Camera.from_label(self.official.label), generator.config.neural_rendering_resolution
        rendering = generator.synthesis(ws, camera, sampling=sampling, noise=noise)
        with torch.no_grad():
            features = generator.render_rays(generator.planes(ws, noise), *camera.rays(size), sampling=sampling)[0]
        return plain.Images(
            image=rendering.image, raw=rendering.raw, depth=rendering.depth, alpha=rendering.alpha,
            features=features.mT.unflatten(2, (size, size)),
        )  # fmt: skip

    def rays(self) -> tuple[Tensor, Tensor]:
        return Camera.from_label(self.official.label).rays(self.config.neural_rendering_resolution)

    def density(self, ws: Tensor, points: Tensor) -> Tensor:
        return self.generator.density_at(self.generator.planes(ws), points)

    def logits(self, image: Tensor, raw: Tensor, label: Tensor) -> Tensor:
        return self.discriminator({"image": image, "image_raw": raw}, label).logits

    def mapped_label(self) -> Tensor:
        return self.discriminator.mapping(None, self.official.label)

    def parameters(self, network: str) -> Tensors:
        return dict((self.generator if network == "G" else self.discriminator).named_parameters())

    blur, resize = staticmethod(blur), staticmethod(resize)


class Plain:
    """The formulas of tests/plain.py."""

    def __init__(self, official: Official):
        self.official, self.config = official, official.config
        with torch.device("meta"):
            modules = EG3D(self.config), DualDiscriminator(self.config)
        self.generator, self.discriminator = (recipe_state(shapes_of(module)) for module in modules)
        for network in "GD":
            for value in self.parameters(network).values():
                value.requires_grad_(True)

    def latents(self, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        ws = plain.latents(self.generator, self.config, self.official.z, self.official.condition)
        return plain.truncated(ws[:, 0], self.generator["backbone.mapping.w_avg"], psi, ws.shape[1], cutoff)

    def planes(self, ws: Tensor) -> Tensor:
        return plain.planes(self.generator, ws)

    def images(
        self, ws: Tensor, *, noise: plain.Noise = "const", uniforms: plain.Uniforms | None = None, raw_size: int | None = None
    ) -> plain.Images:
        config = self.config if raw_size is None else replace(self.config, neural_rendering_resolution=raw_size)
        return plain.generate(self.generator, config, ws, self.official.label, uniforms=uniforms, noise=noise)

    def rays(self) -> tuple[Tensor, Tensor]:
        return plain.rays(self.official.label, self.config.neural_rendering_resolution)

    def density(self, ws: Tensor, points: Tensor) -> Tensor:
        features = plain.sample_planes(self.planes(ws), points, self.config.plane_axes, self.config.box_warp)
        return plain.decode(self.generator, "decoder.net", features)[1]

    def logits(self, image: Tensor, raw: Tensor, label: Tensor) -> Tensor:
        return plain.discriminate(self.discriminator, image, raw, label)

    def mapped_label(self) -> Tensor:
        return plain.mapping(self.discriminator, "mapping", None, self.official.label, layers=8)

    def parameters(self, network: str) -> Tensors:
        state = self.generator if network == "G" else self.discriminator
        return {name: state[name] for name in self.official.names[network]}

    blur, resize = staticmethod(plain.blurred), staticmethod(plain.resized)


def loaded(module: Network) -> Network:
    module.load_state_dict(recipe_state(shapes_of(module)))
    return module


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


class Run:
    """Everything the files hold, computed when asked for."""

    def __init__(self, official: Official, networks: Ours | Plain):
        self.official, self.networks, self.size = official, networks, official.config.neural_rendering_resolution
        with torch.no_grad():
            self.ws = networks.latents()

    @cached_property
    @torch.no_grad()
    def planes(self) -> Tensor:
        return self.networks.planes(self.ws).flatten(1, 2)

    @cached_property
    @torch.no_grad()
    def exact(self) -> plain.Images:
        return self.networks.images(self.ws)

    @cached_property
    @torch.no_grad()
    def silent(self) -> plain.Images:
        return self.networks.images(self.ws, noise="none")

    @cached_property
    @torch.no_grad()
    def random(self) -> plain.Images:
        return self.networks.images(self.ws, uniforms=self.official.uniforms)

    @cached_property
    @torch.no_grad()
    def half(self) -> plain.Images:
        return self.networks.images(self.ws, raw_size=self.size // 2)

    def rand_depth(self) -> Tensor:
        """The release puts empty rays at the largest depth of the batch, ours at that of the ray: of ours they do not count."""
        stride, stored = self.official.stored.raw_stride, self.official.arrays["rand_depth"]
        depth, alpha = thin(self.random.depth, stride), thin(self.random.alpha, stride)
        if isinstance(self.networks, Plain):
            return depth
        assert (alpha > 1e-6).float().mean() > 0.9
        return torch.where(alpha > 1e-6, depth, stored)

    @torch.no_grad()
    def logits(self, sigma: float = 0.0) -> Tensor:
        return self.networks.logits(self.blurred(sigma), self.exact.raw, self.official.label)

    @torch.no_grad()
    def single_logits(self) -> Tensor:
        each = zip(self.exact.image.split(1), self.exact.raw.split(1), self.official.label.split(1), strict=True)
        return torch.cat([self.networks.logits(*one) for one in each])

    def blurred(self, sigma: float) -> Tensor:
        return self.networks.blur(self.exact.image, sigma)

    @cached_property
    def generator_step(self) -> tuple[Tensor, Tensors]:
        images = self.networks.images(self.networks.latents())
        loss = generator_loss(self.networks.logits(images.image, images.raw, self.official.label))
        return loss.detach(), self._gradients("G", loss)

    @cached_property
    def density_step(self) -> tuple[Tensor, Tensor, Tensors]:
        density = self.networks.density(self.networks.latents(), self.official.arrays["Greg_points"])
        loss = 0.25 * density_smoothness(*density.chunk(2, dim=1))
        return density.detach(), loss.detach(), self._gradients("G", loss)

    @cached_property
    def discriminator_step(self) -> tuple[Tensor, Tensor, Tensor, Tensors]:
        image = self.official.real.requires_grad_(True)
        raw = self.networks.resize(image.detach(), self.size).requires_grad_(True)
        real = self.networks.logits(image, raw, self.official.label)
        penalty = r1_penalty(real, image, raw)
        fake = self.networks.logits(self.exact.image, self.exact.raw, self.official.label)
        loss = discriminator_loss(real=real, fake=fake) + 0.5 * penalty.mean()
        return real.detach(), penalty.detach(), loss.detach(), self._gradients("D", loss)

    def _gradients(self, network: str, loss: Tensor) -> Tensors:
        parameters = self.networks.parameters(network)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        return dict(zip(parameters, found, strict=True))

    def norms(self, network: str, gradients: Tensors) -> Tensor:
        return torch.stack([gradients[name].double().norm() for name in self.official.names[network]])


@cache
def run(file: str, networks: type[Ours] | type[Plain]) -> Run:
    torch.manual_seed(0)
    official = Official(file)
    return Run(official, networks(official))


def thin(image: Tensor, stride: int) -> Tensor:
    return image[..., ::stride, ::stride]


def image_stats(image: Tensor) -> Tensor:
    return torch.stack([image.mean(), image.std(), image.min(), image.max()])


Check = tuple[Callable[[Run, Stored], Tensor], float | str]
GIVEN = {"z", "c", "c_cond", "u_coarse", "u_fine", "real_image_f16", "Greg_points", "G_param_names", "D_param_names"}
"""Inputs and names."""
CHECKS: dict[str, Check] = {
    "num_ws": (lambda r, s: torch.tensor(r.ws.shape[1]), 0.0),
    "w": (lambda r, s: r.ws[:, 0], 1e-5),
    "w_psi07": (lambda r, s: r.networks.latents(0.7)[:, 0], 1e-5),
    "w_psi07_cut5": (lambda r, s: r.networks.latents(0.7, 5)[:, [0, 4, 5, -1]], 1e-5),
    "planes_stride8": (lambda r, s: r.planes[..., ::8, ::8], 1e-4),
    "planes_stride16": (lambda r, s: r.planes[..., ::16, ::16], 1e-4),
    "planes_ch_mean": (lambda r, s: r.planes.mean((2, 3)), 1e-4),
    "planes_ch_std": (lambda r, s: r.planes.std((2, 3)), 1e-4),
    "ray_origins": (lambda r, s: r.networks.rays()[0][:, 0], 1e-6),
    "ray_directions": (lambda r, s: r.networks.rays()[1].unflatten(1, (r.size, r.size))[:, :: s.raw_stride, :: s.raw_stride],
                       1e-6),
    "det0_feature_image": (lambda r, s: thin(r.exact.features, s.raw_stride), "image"),
    "det0_depth": (lambda r, s: thin(r.exact.depth, s.raw_stride), "image"),
    "det0_image_raw": (lambda r, s: thin(r.exact.raw, s.raw_stride), "image"),
    "det0_weight_total": (lambda r, s: thin(r.exact.alpha[:, 0], s.raw_stride), "image"),
    "det0_image": (lambda r, s: thin(r.exact.image, s.image_stride), "image"),
    "det0_image_crop": (lambda r, s: r.exact.image[..., 200:264, 200:264], "image"),
    "det0_image_stats": (lambda r, s: image_stats(r.exact.image), "image"),
    "det0_none_image": (lambda r, s: thin(r.silent.image, max(s.image_stride, 2)), "image"),
    "rand_feature_image": (lambda r, s: thin(r.random.features, s.raw_stride), "image"),
    "rand_depth": (lambda r, s: r.rand_depth(), "image"),
    "rand_image_raw": (lambda r, s: thin(r.random.raw, s.raw_stride), "image"),
    "rand_image": (lambda r, s: thin(r.random.image, max(s.image_stride, 2)), "image"),
    "det0_half_image_raw": (lambda r, s: thin(r.half.raw, s.raw_stride), "image"),
    "det0_half_image": (lambda r, s: thin(r.half.image, max(s.image_stride, 2)), "image"),
    "D_raw_upsampled": (lambda r, s: thin(r.networks.resize(r.exact.raw, r.official.config.image_size), max(s.image_stride, 2)),
                        "image"),
    "D_logits": (lambda r, s: r.logits(), 1e-5),
    "D_logits_single": (lambda r, s: r.single_logits(), 1e-5),
    "D_cmap": (lambda r, s: r.networks.mapped_label(), 1e-5),
    "D_blur10_image": (lambda r, s: thin(r.blurred(10.0), max(s.image_stride, 2)), "image"),
    "D_blur10_logits": (lambda r, s: r.logits(10.0), 1e-5),
    "D_blur2.5_image": (lambda r, s: thin(r.blurred(2.5), max(s.image_stride, 2)), "image"),
    "D_blur2.5_logits": (lambda r, s: r.logits(2.5), 1e-5),
    "Gmain_loss": (lambda r, s: r.generator_step[0], 1e-6),
    "Gmain_grad_norm": (lambda r, s: r.norms("G", r.generator_step[1]), "norms"),
    "Gmain_grad_decoder0": (lambda r, s: r.generator_step[1]["decoder.net.0.weight"], "gradient"),
    "Gmain_grad_const": (lambda r, s: r.generator_step[1]["backbone.synthesis.b4.const"], "gradient"),
    "Gmain_grad_embed": (lambda r, s: r.generator_step[1]["backbone.mapping.embed.weight"], "gradient"),
    "Greg_sigma": (lambda r, s: r.density_step[0], "image"),
    "Greg_loss": (lambda r, s: r.density_step[1], 1e-4),
    "Greg_grad_norm": (lambda r, s: r.norms("G", r.density_step[2]), "norms"),
    "real_raw": (lambda r, s: thin(r.networks.resize(r.official.real, r.size), s.raw_stride), 1e-6),
    "Dreal_logits": (lambda r, s: r.discriminator_step[0], 1e-5),
    "D_r1_penalty": (lambda r, s: r.discriminator_step[1], "norms"),
    "Dloss_total": (lambda r, s: r.discriminator_step[2], 1e-5),
    "D_grad_norm": (lambda r, s: r.norms("D", r.discriminator_step[3]), "norms"),
}  # fmt: skip
"""Array -> how it is computed, and its limit: a number, or `image`: the file's, `gradient`: relative to the largest entry,
`norms`: of every entry."""
SLOW = pytest.mark.slow


def cases() -> list[Any]:
    """Every stored result; the larger network, and what is in `../shared` only, where that is."""
    return [
        pytest.param(file, name, marks=[pytest.mark.slow] if file == "tiny512" else [])
        for file in FILES
        for name in arrays(file)
        if name not in GIVEN
    ]


@pytest.mark.parametrize("networks", [Ours, Plain])
@pytest.mark.parametrize(("file", "name"), cases())
def test_an_array_of_the_official_network(file: str, name: str, networks: type[Ours] | type[Plain]):
    compute, limit = CHECKS[name]
    computed, official = run(file, networks), run(file, networks).official
    found, expected = compute(computed, official.stored).detach(), torch.from_numpy(np.asarray(arrays(file)[name]))
    if limit == "norms":
        assert found.tolist() == pytest.approx(expected.tolist(), rel=2e-3, abs=1e-9)
        return
    named = {"image": official.stored.limit, "gradient": 3e-4 * float(expected.abs().max())}
    assert largest_difference(found, expected) <= (named[limit] if isinstance(limit, str) else limit)


@pytest.mark.parametrize("file", FILES)
def test_no_array_is_left_out(file: str):
    with np.load(shared(f"goldens/eg3d/{file}_io.npz")) as stored:
        assert set(stored.files) <= GIVEN | set(CHECKS)
        assert set(stored.files) <= set(arrays(file))


def test_the_arrays_in_the_repository_are_the_shared_ones():
    with np.load(shared("goldens/eg3d/tiny128_io.npz")) as stored, np.load(GOLDENS / "tiny128_io.npz") as kept:
        assert np.array_equal(kept["planes_stride16"], stored["planes_stride8"][..., ::2, ::2])
        for name in set(kept.files) - {"planes_stride16"}:
            assert np.array_equal(kept[name], stored[name])


def config_of(generator: dict[str, Any], discriminator: dict[str, Any], raw_size: int) -> EG3DConfig:
    """The release's two dictionaries as our config; every key is looked at."""
    given = dict(generator)
    rendering, mapping, upsampler = (dict(given.pop(name)) for name in ("rendering_kwargs", "mapping_kwargs", "sr_kwargs"))
    assert {name: given.pop(name) for name in FIXED_GENERATOR} == FIXED_GENERATOR
    assert upsampler == {name: generator[name] for name in upsampler}
    assert {name: rendering.pop(name) for name in FIXED_RENDERING} == FIXED_RENDERING
    size, resolution = given.pop("img_resolution"), rendering.pop("image_resolution")
    shared_fields = {name: given.pop(name) for name in ("z_dim", "w_dim", "channel_base", "channel_max")}
    config = EG3DConfig(
        plane_axes="eg3d_released", image_size=size, neural_rendering_resolution=raw_size,
        superresolution=rendering.pop("superresolution_module").removeprefix("training.superresolution.SuperresolutionHybrid"),
        mapping_layers=mapping.pop("num_layers"), mapping_embed=mapping.pop("embed_features", None),
        mapping_hidden=mapping.pop("layer_features", None), disc_c_noise=discriminator["disc_c_noise"],
        **shared_fields, **rendering,
    )  # fmt: skip
    assert size == resolution and not given and not mapping
    assert {**discriminator, **{name: generator[name] for name in shared_fields if name in discriminator}} == discriminator
    assert {name: discriminator[name] for name in FIXED_DISCRIMINATOR} == FIXED_DISCRIMINATOR
    return config


FIXED_GENERATOR = {
    "class_name": "training.triplane.TriPlaneGenerator", "fused_modconv_default": "inference_only", "num_fp16_res": 0,
    "sr_num_fp16_res": 4, "conv_clamp": None, "c_dim": 25, "img_channels": 3,
}  # fmt: skip
"""What every published network has, and ours without asking."""
FIXED_RENDERING = {
    "clamp_mode": "softplus", "gpc_reg_prob": 0.5, "superresolution_noise_mode": "none", "density_reg": 0.25,
    "density_reg_p_dist": 0.004, "reg_type": "l1", "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2],
}  # fmt: skip
"""The same; from `gpc_reg_prob` on, what training and viewers use, not the network."""
FIXED_DISCRIMINATOR = {
    "class_name": "training.dual_discriminator.DualDiscriminator", "block_kwargs": {"freeze_layers": 0}, "mapping_kwargs": {},
    "epilogue_kwargs": {"mbstd_group_size": 4}, "num_fp16_res": 4, "conv_clamp": 256, "c_dim": 25, "img_channels": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "config"),
    [("tiny128", TINY128), ("tiny512", TINY512), ("ffhq512", replace(FFHQ512, plane_axes="eg3d_released"))],
)
def test_our_configs_are_the_official_ones(file: str, config: EG3DConfig):
    official = json.loads(shared(f"goldens/eg3d/{file}_config.json").read_text())
    assert config_of(official["G_kwargs"], official["D_kwargs"], official["nrr"]) == config


@pytest.mark.parametrize(
    ("file", "config"), [("tiny128", TINY128), ("tiny512", TINY512), ("ffhq512", FFHQ512)]
)  # fmt: skip
def test_names_and_shapes_are_the_official_ones(file: str, config: EG3DConfig):
    official = json.loads(names_file(file).read_text())
    with torch.device("meta"):
        modules = {"G.": EG3D(config), "D.": DualDiscriminator(config)}
    ours = {prefix + name: list(shape) for prefix, module in modules.items() for name, shape in shapes_of(module).items()}
    assert ours == official


def names_file(file: str) -> Path:
    kept = GOLDENS / f"names_{file}.json"
    return kept if kept.exists() else shared(f"goldens/eg3d/names_{file}.json")


def test_the_recipe_makes_the_stored_weights():
    stored = load_file(shared("goldens/eg3d/tiny128_weights.safetensors"))
    ours = recipe_state({name[2:]: tuple(value.shape) for name, value in stored.items() if name.startswith("G.")})
    assert all(torch.equal(value, stored[f"G.{name}"]) for name, value in ours.items())
    ours = recipe_state({name[2:]: tuple(value.shape) for name, value in stored.items() if name.startswith("D.")})
    assert all(torch.equal(value, stored[f"D.{name}"]) for name, value in ours.items())
    assert len(stored) == len(json.loads(names_file("tiny128").read_text()))


@pytest.mark.slow
@torch.no_grad()
def test_the_full_size_is_that_of_the_formulas():
    config = replace(FFHQ512, plane_axes="eg3d_released")
    generator = EG3D(config)
    state = recipe_state(shapes_of(generator))
    generator.load_state_dict(state)
    camera, z = Camera.frontal(2.7, 4.2647), torch.randn(1, 512, generator=torch.Generator().manual_seed(0))
    ws = generator.mapping(z, camera.label())
    truth = plain.generate(state, config, ws, camera.label())
    image = generator.synthesis(ws, camera, sampling=config.sampling("none")).image
    assert largest_difference(image, truth.image) < 1e-3
    half = generator.synthesis(ws, camera, sampling=config.sampling("none"), compute=Compute(dtype=torch.bfloat16)).image
    assert 0 < (half - truth.image).square().mean().sqrt() * 127.5 < 1, "gray levels"
