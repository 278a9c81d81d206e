"""A face model as the teacher of a prior's training (models.families.Guide): what can be taught without anybody's weights.

Texture, brightness and light of the face model's picture need no helper. Landmarks, identity and classes do, and without
classes pairs cannot be compared; they belong to `models.faceshop.stages`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.config import FaceShopConfig
from models.faceshop.generator import FaceShop
from models.faceshop.guidance import FaceFrame, fitted
from models.faceshop.objective import ImitationWeights
from models.faceshop.schedule import END, phase_at
from models.faceshop.stages import Lesson, Shown, taught_terms
from models.generator import Rendering
from models.head_frame import HeadFrame
from models.heads.face3dmm import FaceModel
from models.heads.face_files import load_face_model

UNAIDED = ImitationWeights(landmarks=0.0, identity=0.0, semantics=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceGuide:
    """Compares what the generator shows with the face model's picture of its codes."""

    lesson: Lesson

    def __call__(
        self, generator: FaceShop, rendering: Rendering, *, z: Tensor, condition: Tensor, camera: Camera, share: float
    ) -> Tensor:  # fmt: skip
        """The loss [] of a rendering of codes z [B,z_dim]; `share` of the training is done."""
        own = Shown(z=z, rendering=rendering, camera=camera, condition=condition)
        phase = replace(phase_at(int(share * END)), pairs=False, share=1.0)
        terms = taught_terms(generator, own, phase=phase, lesson=self.lesson)
        return sum(terms.values(), torch.zeros((), device=z.device))


def face_guide(config: FaceShopConfig, path: Path, frame: HeadFrame, device: str = "cpu") -> FaceGuide:
    """The guide by a face model's file for a generator with that head frame; ValueError where they do not fit."""
    model = load_face_model(path).to(device)
    if fitted(config, model) != config:
        have = model.shape_basis.shape[-1], model.albedo_basis.shape[-1], model.expression_basis.shape[-1]
        want = config.shape_dim, config.albedo_dim, config.expression_dim
        raise ValueError(f"{path} has {have} coefficients of shape, albedo and expression, and the codes have {want}")
    return FaceGuide(lesson=Lesson(model=model, frame=frame_of(model, frame), imitation=UNAIDED))


def frame_of(model: FaceModel, frame: HeadFrame) -> FaceFrame:
    """Where the model lies in a generator's space; ValueError where nobody measured its place in the head."""
    if model.head_center is None:
        raise ValueError("where this face model lies in the head is not known; only ICT-FaceKit's place is")
    x, y, z = np.array(model.head_center) + 10 * frame.head_points(np.zeros((1, 3)))[0]
    return FaceFrame(meters_per_unit=1 / frame.scale, origin_dm=(float(x), float(y), float(z)))
