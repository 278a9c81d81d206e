"""3DPortraitGAN: heads with neck and shoulders that move (arXiv 2307.14770, section 3; spec 3dportraitgan).

One person at rest is a tri-grid with a painted background, as PanoHead's. Six numbers turn neck and head: points of the posed
space go to the space at rest with the skin of a body that is next to them. A small head draws a pose for a latent and a camera,
so that training learns how people hold their heads where cameras see them.

Notable choices:
- a control's `deformation` is the pose [B,6]; None renders the person at rest and needs no body at all;
- the body is no part of the module: a checkpoint holds its name in the config, and `wear` refuses any other;
- the mapping sees camera and pose, 31 numbers; a camera alone stands for the pose of zeros.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import LABEL_DIM
from models.compute_mode import EXACT, Compute
from models.generator import Control, Noise
from models.heads.bust import body_of_name
from models.heads.mesh_warp import MeshWarp
from models.heads.skinned_body import POSE, SkinnedBody
from models.portrait3d.config import SMPL, PortraitConfig
from models.portrait3d.pose_heads import PoseHead, symmetric
from models.trigrid.generator import ROLES, TrigridGenerator, TrigridScene

SMPL_SIZE = (6890, 24)
"""Vertices and joints of SMPL."""


class NoBody(ValueError):
    """A pose was asked for, and the body `name` that the network was trained with is not there."""

    def __init__(self, name: str):
        super().__init__(f"to turn the head it needs the body {name}, which is not part of the network")


class Portrait3D(TrigridGenerator):
    """A generator of heads with shoulders; see models.generator.Generator for what pipelines may use."""

    family = "portrait3d"
    config: PortraitConfig
    roles = {**ROLES, "pose": ("pose_branch",)}
    deaf = ("backbone.mapping", "decoder", "pose_branch")

    def __init__(self, config: PortraitConfig):
        super().__init__(config, label_dim=LABEL_DIM + POSE)
        self.pose_branch = PoseHead(config.z_dim + LABEL_DIM, config.pose_hidden)
        self._by_body: MeshWarp | None = None

    def wear(self, body: SkinnedBody) -> None:
        """Bend with `body` from now on; ValueError unless it is the one that the config names."""
        own, named = body_of_name(self.config.body), self.config.body
        smpl = named == SMPL and body.weights.shape == SMPL_SIZE
        if not (smpl or body.identity == (named if own is None else own.identity)):
            raise ValueError(f"this network was trained with the body {named}, not with {body.identity}")
        config = self.config
        rule = "face" if config.warp == "none" else config.warp
        self._by_body = MeshWarp(body, box_size=config.box_warp, reach=config.reach, rule=rule)

    @property
    def by_body(self) -> MeshWarp:
        """How points follow the body; NoBody where it has to be brought along and was not."""
        if self._by_body is None:
            body = body_of_name(self.config.body)
            if body is None:
                raise NoBody(self.config.body)
            self.wear(body)
        assert self._by_body is not None
        return self._by_body

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of z [B,z_dim]; `condition` is a camera label [B,25], or label and pose [B,31]."""
        if condition is not None and condition.shape[1] == LABEL_DIM:
            condition = F.pad(condition, (0, POSE))
        return super().mapping(z, condition, truncation, cutoff)

    def body_pose(self, z: Tensor, label: Tensor) -> Tensor:
        """[B,6] the pose that goes with latents [B,z_dim] seen by cameras [B,25]; where z varies, so does the pose."""
        return symmetric(lambda seen: self.pose_branch(torch.cat([z, seen], dim=1)), label)

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> TrigridScene:
        """The grids of `control`, bent by its `deformation` [B,6] where there is one."""
        scene = super().prepare(control, frozen=frozen, noise=noise, compute=compute)
        if control.deformation is None or self.config.warp == "none":
            return scene
        return replace(scene, warp=self.by_body.of(control.deformation))
