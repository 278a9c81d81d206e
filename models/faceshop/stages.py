"""One step of 3DFaceShop's training, whatever stage it is in (sections 4.2 and 4.3): all weighed terms of the generator's
loss, and the discriminator's loss.

Notable choice: faces stand where the face model's camera sees them, so generator and mesh are compared pixel by pixel; both
faces of a pair are seen by the same camera and made for the frontal pose.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.codes import decoded
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop, FaceShopScene
from models.faceshop.guidance import FaceRender, face_render
from models.faceshop.objective import (
    Helpers,
    ImitationWeights,
    Pair,
    PairWeights,
    Terms,
    contrasted,
    expression_terms,
    identity_terms,
    imitation_terms,
    judged_discriminator,
    judged_generator,
    light_terms,
)
from models.faceshop.pose import pose_angles
from models.faceshop.schedule import Phase
from models.generator import Control, Rendering
from models.heads.face3dmm import TRANSLATION, FaceModel, camera_of
from models.training.regularizers import smooth_density


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """Who teaches a generator, and how much each thing counts."""

    model: FaceModel
    helpers: Helpers = field(default_factory=Helpers)
    imitation: ImitationWeights = field(default_factory=ImitationWeights)
    pairs: PairWeights = field(default_factory=PairWeights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Codes as the generator shows them to the face model's camera."""

    z: Tensor
    scene: FaceShopScene
    rendering: Rendering
    camera: Camera


def shown(generator: FaceShop, z: Tensor, angles: Tensor) -> Shown:
    """Codes z [B,z_dim] of heads turned by pitch, yaw and roll [B,3]."""
    camera = camera_of(angles, angles.new_tensor([TRANSLATION]).expand(len(z), -1))
    scene = generator.prepare(Control(ws=generator.mapping(z), code=z))
    return Shown(z=z, scene=scene, rendering=generator.render(scene, camera), camera=camera)


def generator_terms(
    generator: FaceShop, judge: FaceShopDiscriminator, z: Tensor, angles: Tensor, *, phase: Phase, lesson: Lesson,
    random: torch.Generator,
) -> Terms:  # fmt: skip
    """The weighed terms of a phase for codes z [B,z_dim] of heads turned by angles [B,3]; `random` points for smoothness."""
    own = shown(generator, z, angles)
    terms = {"adversarial": judged_generator(judge(own.rendering, own.camera), pose_angles(own.camera), z)}
    if phase.smoothness:
        terms["smoothness"] = phase.smoothness * smooth_density(own.scene, random)
    if not phase.imitation:
        return terms
    face = face_render(lesson.model, generator.config, z, angles)
    weights = lesson.imitation if phase.semantics else replace(lesson.imitation, semantics=0.0)
    terms |= imitation_terms(own.rendering, face, decoded(generator.config, z).light, lesson.helpers, weights)
    terms = {name: phase.share * value for name, value in terms.items()}
    return terms | pair_terms(generator, own, face, angles, lesson) if phase.pairs else terms


def pair_terms(generator: FaceShop, own: Shown, face: FaceRender, angles: Tensor, lesson: Lesson) -> Terms:
    """Each face beside three others, of which each differs in one block."""
    pairs = {}
    for block in ("identity", "expression", "light"):
        z = contrasted(generator.config, own.z, block)
        other = shown(generator, z, angles)
        second = face_render(lesson.model, generator.config, z, angles)
        pairs[block] = Pair(first=own.rendering, second=other.rendering, first_face=face, second_face=second)
    return (
        identity_terms(pairs["identity"], lesson.pairs)
        | expression_terms(pairs["expression"], lesson.model, lesson.helpers, lesson.pairs)
        | light_terms(pairs["light"], lesson.helpers, lesson.pairs)
    )


def discriminator_loss_of(
    generator: FaceShop, judge: FaceShopDiscriminator, z: Tensor, angles: Tensor, *, real: dict[str, Tensor],
    real_camera: Camera,
) -> Tensor:  # fmt: skip
    """The discriminator's loss [] on codes z [B,z_dim] of heads turned by angles [B,3] and on `real` images of cameras."""
    with torch.no_grad():
        own = shown(generator, z, angles)
    verdicts = judge(real, real_camera), judge(own.rendering, own.camera)
    return judged_discriminator(*verdicts, pose_angles(real_camera), z)
