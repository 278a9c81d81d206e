"""One step of 3DFaceShop's training, whatever stage it is in (sections 4.2 and 4.3): all weighed terms of the generator's loss,
and the discriminator's loss.

Notable choice: both faces of a pair are seen by the same camera and made for the same pose.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.codes import decoded
from models.faceshop.config import FaceShopConfig
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop, FaceShopScene
from models.faceshop.guidance import FaceFrame, FaceRender, face_render
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
from models.heads.face3dmm import FaceModel
from models.training.regularizers import smooth_density


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """Who teaches a generator, and how much each thing counts."""

    model: FaceModel
    frame: FaceFrame = FaceFrame()
    helpers: Helpers = field(default_factory=Helpers)
    imitation: ImitationWeights = field(default_factory=ImitationWeights)
    pairs: PairWeights = field(default_factory=PairWeights)

    def face(self, config: FaceShopConfig, z: Tensor, camera: Camera) -> FaceRender:
        """The face model's picture of codes z [B,z_dim]."""
        return face_render(self.model, config, z, camera, self.frame)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Codes as the generator shows them."""

    z: Tensor
    rendering: Rendering
    camera: Camera
    condition: Tensor | None = None
    """[B,25] camera labels that the mapping saw; None: the frontal one."""


def shown(generator: FaceShop, z: Tensor, camera: Camera, condition: Tensor | None = None) -> Shown:
    """Codes z [B,z_dim] as B cameras see them."""
    return Shown(z=z, rendering=generator.render(scene_of(generator, z, condition), camera), camera=camera, condition=condition)


def scene_of(generator: FaceShop, z: Tensor, condition: Tensor | None = None) -> FaceShopScene:
    return generator.prepare(Control(ws=generator.mapping(z, condition), code=z))


def generator_terms(
    generator: FaceShop, judge: FaceShopDiscriminator, z: Tensor, camera: Camera, *, phase: Phase, lesson: Lesson,
    random: torch.Generator,
) -> Terms:  # fmt: skip
    """The weighed terms of a phase for codes z [B,z_dim] that B cameras see; `random` points for smoothness."""
    scene = scene_of(generator, z)
    own = Shown(z=z, rendering=generator.render(scene, camera), camera=camera)
    terms = {"adversarial": judged_generator(judge(own.rendering, camera), pose_angles(camera), z)}
    if phase.smoothness:
        terms["smoothness"] = phase.smoothness * smooth_density(scene, random)
    terms = {name: phase.share * value for name, value in terms.items()}
    return terms | taught_terms(generator, own, phase=phase, lesson=lesson)


def taught_terms(generator: FaceShop, own: Shown, *, phase: Phase, lesson: Lesson) -> Terms:
    """The weighed terms of a phase that the face model teaches; nothing before it sets in."""
    if not phase.imitation:
        return {}
    face = lesson.face(generator.config, own.z, own.camera)
    weights = lesson.imitation if phase.semantics else replace(lesson.imitation, semantics=0.0)
    light = decoded(generator.config, own.z).light
    terms = imitation_terms(own.rendering, face, light, lesson.helpers, weights)
    terms = {name: phase.share * value for name, value in terms.items()}
    return terms | pair_terms(generator, own, face, lesson) if phase.pairs else terms


def pair_terms(generator: FaceShop, own: Shown, face: FaceRender, lesson: Lesson) -> Terms:
    """Each face beside three others, of which each differs in one block."""
    pairs = {}
    for block in ("identity", "expression", "light"):
        other = shown(generator, contrasted(generator.config, own.z, block), own.camera, own.condition)
        second = lesson.face(generator.config, other.z, own.camera)
        pairs[block] = Pair(first=own.rendering, second=other.rendering, first_face=face, second_face=second)
    return (
        identity_terms(pairs["identity"], lesson.pairs)
        | expression_terms(pairs["expression"], lesson.model.triangles, lesson.helpers, lesson.pairs)
        | light_terms(pairs["light"], lesson.helpers, lesson.pairs)
    )


def discriminator_loss_of(
    generator: FaceShop, judge: FaceShopDiscriminator, z: Tensor, camera: Camera, *, real: dict[str, Tensor],
    real_camera: Camera,
) -> Tensor:  # fmt: skip
    """The discriminator's loss [] on codes z [B,z_dim] that B cameras see and on `real` images of other cameras."""
    with torch.no_grad():
        own = shown(generator, z, camera)
    verdicts = judge(real, real_camera), judge(own.rendering, camera)
    return judged_discriminator(*verdicts, pose_angles(real_camera), z)
