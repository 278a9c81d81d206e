"""Writes a snapshot as the authors' training loop leaves it, from our own networks: the structure of the published pickles.

The modules are written under the official class and module names by stand-ins that exist only while the pickle is written.
Every embedded source would leave a file behind if anything executed it.
"""

import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.eg3d.config import EG3DConfig
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from models.trigrid.config import TrigridConfig
from models.trigrid.generator import TrigridGenerator
from models.volumes.planes import PLANE_AXES

PLAIN = {
    "OSGDecoder": "training.triplane",
    "ImportanceRenderer": "training.volumetric_rendering.renderer",
    "MipRayMarcher2": "training.volumetric_rendering.ray_marcher",
    "RaySampler": "training.volumetric_rendering.ray_sampler",
    "AlignedSMPL": "training.aligned_smpl",
    "SMPL": "smplx.body_models",
}
SOURCES = {
    name: f"# {name}\nopen({{trace!r}}, 'w').write('executed')\n"
    for name in ("triplane", "networks", "superresolution", "dual")
}


def write_snapshot(
    path: Path, generator: EG3D | TrigridGenerator, discriminator: DualDiscriminator | None, *, trace: Path, **changes: Any
) -> Path:
    """A snapshot of these networks, G and G_ema being the same; `changes` replace rendering options (None removes one)."""
    with official_names() as names:
        writer = Writer(
            names, generator.config, {name: text.format(trace=str(trace)) for name, text in SOURCES.items()}, changes
        )
        data = {"training_set_kwargs": names.easy(class_name="training.dataset.ImageFolderDataset", path="/home/anna/FFHQ.zip")}
        data |= {"G": writer.generator(generator), "D": discriminator and writer.discriminator(discriminator)}
        data |= {"G_ema": writer.generator(generator), "augment_pipe": None}
        path.write_bytes(pickle.dumps(data, protocol=4))
    return path


class Names:
    """The stand-ins: `plain[name]` classes, `persistent(name)` modules, `easy` dicts."""

    def __init__(self) -> None:
        self.modules = {name: types.ModuleType(name) for name in self.needed()}
        self.plain = {name: self.put(PLAIN[name], type(name, (nn.Module,), {})) for name in PLAIN}
        self.easy = self.put("dnnlib.util", type("EasyDict", (dict,), {}))

        def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None: ...

        self.rebuild = self.put("torch_utils.persistence", _reconstruct_persistent_obj)

    @staticmethod
    def needed() -> list[str]:
        paths = [*PLAIN.values(), "dnnlib.util", "torch_utils.persistence"]
        return sorted({".".join(path.split(".")[:count]) for path in paths for count in range(1, path.count(".") + 2)})

    def put(self, module: str, thing: Any) -> Any:
        thing.__module__, thing.__qualname__ = module, thing.__name__
        setattr(self.modules[module], thing.__name__, thing)
        return thing

    def persistent(self, class_name: str, source: str) -> Any:
        """A module that pickles itself as the official ones do: a function, and all there is to know about it."""

        def reduce(module: nn.Module, protocol: Any = None) -> Any:
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": module.__dict__}
            return self.rebuild, (meta,)

        return type(class_name, (nn.Module,), {"__reduce_ex__": reduce})()


@contextmanager
def official_names() -> Iterator[Names]:
    names, before = Names(), dict(sys.modules)
    sys.modules.update(names.modules)
    try:
        yield names
    finally:
        for name in names.modules:
            sys.modules.pop(name) if name not in before else sys.modules.update({name: before[name]})


class Writer:
    """Official modules with the parameters and buffers of ours."""

    def __init__(self, names: Names, config: EG3DConfig | TrigridConfig, sources: dict[str, str], changes: dict[str, Any]):
        self.names, self.config, self.sources, self.changes = names, config, sources, changes

    def generator(self, ours: EG3D | TrigridGenerator) -> nn.Module:
        config = self.config
        module = self.names.persistent("TriPlaneGenerator", self.sources["triplane"])
        module.register_buffer("dataset_label_std", torch.linspace(0, 1, 25))
        module.z_dim, module.w_dim, module.c_dim = config.z_dim, config.w_dim, 25
        module.img_resolution, module.neural_rendering_resolution = config.image_size, config.neural_rendering_resolution
        module.rendering_kwargs = self.names.easy(**self.rendering())
        module._init_args, module._init_kwargs = (
            (),
            self.names.easy(**self.arguments(), rendering_kwargs=module.rendering_kwargs),
        )
        renderer = self.names.plain["ImportanceRenderer"]()
        renderer.plane_axes, renderer.ray_marcher = axes_matrices(config.plane_axes), self.names.plain["MipRayMarcher2"]()
        module.renderer, module.ray_sampler = renderer, self.names.plain["RaySampler"]()
        module.backbone = self.copy(ours.backbone, "Generator", "networks")
        module.superresolution = self.copy(
            ours.superresolution, f"SuperresolutionHybrid{config.superresolution}", "superresolution"
        )
        module.decoder = self.decoder(ours)
        if hasattr(ours, "pose_branch"):
            self.add_body(renderer)
        for name in ("torgb", "t_mapping", "bcg_synthesis", "pose_branch"):
            if hasattr(ours, name):
                module.add_module(name, self.copy(getattr(ours, name), "Generator", "networks"))
        module._last_planes = None
        return module.eval().requires_grad_(False)

    def add_body(self, renderer: Any) -> None:
        """The body that points follow, as the authors' renderer has it: buffers of every kind, and a camera beside them."""
        renderer.register_buffer("face_mask", torch.tensor([True, False]))
        renderer.aligned_SMPL = self.names.plain["AlignedSMPL"]()
        renderer.aligned_SMPL.model = self.names.plain["SMPL"]()
        renderer.aligned_SMPL.model.register_buffer("v_template", torch.rand(7, 3))
        renderer.aligned_SMPL.model.register_buffer("faces_tensor", torch.arange(6).view(2, 3))
        renderer.avg_camera = torch.rand(1, 25)

    def discriminator(self, ours: DualDiscriminator) -> nn.Module:
        module = self.copy(ours, "DualDiscriminator", "dual")
        most = self.config.discriminator_channel_max or self.config.channel_max
        module._init_kwargs = self.names.easy(
            **self.arguments() | {"channel_max": most, "disc_c_noise": self.config.disc_c_noise}
        )
        return module.eval().requires_grad_(False)

    def copy(self, ours: nn.Module, class_name: str, source: str) -> Any:
        """`ours` as a persistent module, its children as persistent ones of the same source."""
        module = self.names.persistent(class_name, self.sources[source])
        for name, parameter in ours._parameters.items():
            module.register_parameter(name, parameter if parameter is None else nn.Parameter(parameter.detach()))
        for name, buffer in ours._buffers.items():
            module.register_buffer(name, buffer, persistent=name not in ours._non_persistent_buffers_set)
        for name, child in ours.named_children():
            module.add_module(name, self.copy(child, type(child).__name__, "networks"))
        module.weight_gain, module.activation = np.float64(0.125), "lrelu"
        return module

    def decoder(self, ours: EG3D | TrigridGenerator) -> nn.Module:
        first, last = (self.copy(ours.decoder.net[place], "FullyConnectedLayer", "networks") for place in (0, 2))
        decoder = self.names.plain["OSGDecoder"]()
        decoder.hidden_dim, decoder.net = self.config.decoder_hidden, nn.Sequential(first, nn.Softplus(), last)
        return decoder

    def arguments(self) -> dict[str, Any]:
        config = self.config
        mapping = {
            "num_layers": config.mapping_layers,
            "embed_features": config.mapping_embed,
            "layer_features": config.mapping_hidden,
        }
        return {
            "z_dim": config.z_dim, "w_dim": config.w_dim, "c_dim": 25, "img_resolution": config.image_size, "img_channels": 3,
            "mapping_kwargs": {name: value for name, value in mapping.items() if value is not None}, "num_fp16_res": 0,
            "channel_base": config.channel_base, "channel_max": config.channel_max, "sr_num_fp16_res": 4, "conv_clamp": None,
            "fused_modconv_default": "inference_only",
        }  # fmt: skip

    def rendering(self) -> dict[str, Any]:
        config = self.config
        names = (
            "disparity_space_sampling", "c_gen_conditioning_zero", "c_scale", "decoder_lr_mul", "sr_antialias", "ray_start",
            "depth_resolution", "depth_resolution_importance", "ray_end", "box_warp", "white_back", "triplane_depth",
            "decoder_activation", "use_torgb_raw", "use_background",
        )  # fmt: skip
        options = {name: getattr(config, name) for name in names if hasattr(config, name)} | {
            "image_resolution": config.image_size, "clamp_mode": "softplus", "gpc_reg_prob": 0.5, "density_reg": 0.25,
            "superresolution_module": f"training.superresolution.SuperresolutionHybrid{config.superresolution}",
            "avg_camera_radius": 2.7, "avg_camera_pivot": [0, 0, 0.2], "superresolution_noise_mode": "none",
        }  # fmt: skip
        return {name: value for name, value in (options | self.changes).items() if value is not None}


def axes_matrices(name: str) -> torch.Tensor:
    """[3,3,3]: rows are the directions of a plane's width, height and normal."""
    rows = [[first, second, 3 - first - second] for first, second in PLANE_AXES[name]]
    return torch.eye(3)[torch.tensor(rows)]
