"""What generator and discriminator minimize in the two stages of 3DFaceShop's training (sections 4.2.1 and 4.3; spec 6, 9 and
10).

Notable choices, where text and code disagree or the code fails:
- the adversarial loss is the logistic one of the code, not the hinge of equation 12;
- the discriminator learns to guess codes from generated images, whose codes are known. The code teaches it real images with
  the codes of unrelated fakes;
- who guesses landmarks, identity and classes is the user's choice: a helper that is missing and weighs more than 0 is an error.
  Light needs none, it is read off the picture in closed form.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.faceshop.config import Block, FaceShopConfig
from models.faceshop.disentangling import (
    HAIR,
    LIPS,
    NOT_FACE,
    flow_loss,
    mask_loss,
    pixel_flow,
    probability,
    region,
    region_loss,
    style_loss,
)
from models.faceshop.guidance import FaceRender
from models.faceshop.imitation import (
    guided,
    identity_loss,
    landmark_loss,
    landmark_weights,
    light_loss,
    seen_at_224,
    semantic_loss,
    skin_loss,
    texture_loss,
)
from models.generator import DiscriminatorOutput, Rendering
from models.heads.face3dmm import SIZE
from models.heads.face_alignment import recognition_crop
from models.training.losses import discriminator_loss, generator_loss

POSE_WEIGHT, LATENT_WEIGHT = 10.0, 1.0
STAGE_TWO_SHARE = 0.7
"""Of the first stage's loss in the second."""
Terms = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ImitationWeights:
    """Of the terms of stage one; those of the paper, and the code's where it names none."""

    texture: float = 10.0
    identity: float = 10.0
    skin: float = 1.0
    landmarks: float = 10.0
    light: float = 1000.0
    semantics: float = 10.0


@dataclass(frozen=True, kw_only=True)
class PairWeights:
    """Of the terms of stage two, by the block that differs."""

    identity_background: float = 100.0
    expression_flow: float = 100.0
    expression_background: float = 100.0
    expression_hair: float = 50.0
    expression_lips: float = 100.0
    light_background: float = 100.0
    light_hair: float = 50.0
    light_identity: float = 10.0
    light_landmarks: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Helpers:
    """Frozen networks, or functions, that look at generated images; differentiable but for the parser."""

    landmarks: Callable[[Tensor], Tensor] | None = None
    """Images [B,3,224,224] in 0..1 -> [B,68,2] column and row."""
    recognizer: Callable[[Tensor], Tensor] | None = None
    """Crops [B,3,112,112] in [-1,1] -> features [B,D]."""
    parser: Callable[[Tensor], Tensor] | None = None
    """Images [B,3,H,H] in 0..1 -> classes [B,H,H]."""
    style: Callable[[Tensor], list[Tensor]] | None = None
    """Images [B,3,H,H] in 0..1 -> features [B,C,h,w] of some layers."""

    def check(self, weights: Mapping[str, float]) -> None:
        """ValueError for a helper that is missing and weighs more than 0; `weights` by a helper's name."""
        for name, weight in weights.items():
            if weight > 0 and getattr(self, name) is None:
                raise ValueError(f"there is no helper for {name}, whose weight is {weight}: give one, or weigh it 0")


def judged_generator(fake: DiscriminatorOutput, angles: Tensor, z: Tensor) -> Tensor:
    """softplus(-D) + 10 MSE of the pose + MSE of the code that the discriminator guesses of fakes of angles [B,2] and z."""
    return generator_loss(fake.logits) + _guesses(fake.pose, angles, POSE_WEIGHT) + _guesses(fake.latent, z, LATENT_WEIGHT)


def judged_discriminator(real: DiscriminatorOutput, fake: DiscriminatorOutput, real_angles: Tensor, z: Tensor) -> Tensor:
    """Logistic loss + 10 MSE of the pose of real images [B,2] + MSE of the codes of fakes."""
    adversarial = discriminator_loss(real=real.logits, fake=fake.logits)
    return adversarial + _guesses(real.pose, real_angles, POSE_WEIGHT) + _guesses(fake.latent, z, LATENT_WEIGHT)


def _guesses(guess: Tensor | None, truth: Tensor, weight: float) -> Tensor:
    if guess is None:
        raise ValueError("this discriminator guesses neither poses nor codes")
    return weight * F.mse_loss(guess, truth)


def imitation_terms(shown: Rendering, face: FaceRender, light: Tensor, helpers: Helpers, weights: ImitationWeights) -> Terms:
    """The weighed terms of stage one (eq. 17) of a rendering, the face model's picture of its code, and its light [B,27]."""
    helpers.check({"landmarks": weights.landmarks, "recognizer": weights.identity, "parser": weights.semantics})
    image, render, mask = seen_at_224(shown.image), face.image, face.mask
    terms = {
        "texture": weights.texture * texture_loss(image, render, mask), "skin": weights.skin * skin_loss(image, render, mask),
        "light": weights.light * light_loss(face.light_in(image), light),
    }  # fmt: skip
    if helpers.landmarks is not None:
        points = helpers.landmarks(image)
        terms["landmarks"] = weights.landmarks * landmark_loss(points, face.landmarks, landmark_weights().to(points))
    if helpers.recognizer is not None:
        pair = image, guided(image, render, mask)
        terms["identity"] = weights.identity * identity_loss(*_recognized(helpers.recognizer, face.landmarks, *pair))
    if helpers.parser is not None and shown.semantics is not None:
        labels = _labels(helpers.parser, shown.image, shown.semantics.shape[-1])
        terms["semantics"] = weights.semantics * semantic_loss(shown.semantics, labels)
    return terms


def _labels(parser: Callable[[Tensor], Tensor], image: Tensor, size: int) -> Tensor:
    """[B,size,size] the parser's class of every so manyth pixel."""
    with torch.no_grad():
        labels = parser((image + 1) / 2)
    return F.interpolate(labels[:, None].float(), size=(size, size), mode="nearest")[:, 0].long()


def _recognized(recognizer: Callable[[Tensor], Tensor], landmarks: Tensor, *images: Tensor) -> list[Tensor]:
    """Features of images in 0..1, cropped by the same landmarks [B,68,2]."""
    return [recognizer(2 * recognition_crop(image, landmarks) - 1) for image in images]


def contrasted(config: FaceShopConfig, z: Tensor, block: Block) -> Tensor:
    """z [B,z_dim] with the block of the next row: all else is alike."""
    part = config.blocks[block]
    return torch.cat([z[:, : part.start], z.roll(-1, 0)[:, part], z[:, part.stop :]], 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two renderings whose codes differ in one block, with the face model's pictures of both."""

    first: Rendering
    second: Rendering
    first_face: FaceRender
    second_face: FaceRender

    @property
    def images(self) -> tuple[Tensor, Tensor]:
        """In 0..1."""
        return (self.first.image + 1) / 2, (self.second.image + 1) / 2

    @property
    def classes(self) -> tuple[Tensor, Tensor]:
        """Rendered probabilities; ValueError where a family has none."""
        if self.first.semantics is None or self.second.semantics is None:
            raise ValueError("pairs are compared by their classes, which these renderings have not")
        return self.first.semantics, self.second.semantics

    def region_loss(self, classes: tuple[int, ...]) -> Tensor:
        """How much the images differ where these classes are."""
        size = self.first.image.shape[-1]
        masks = (region(probabilities, classes, size) for probabilities in self.classes)
        return region_loss(*self.images, *masks)

    def hair_loss(self) -> Tensor:
        return mask_loss(*(probability(classes, HAIR) for classes in self.classes))


def identity_terms(pair: Pair, weights: PairWeights) -> Terms:
    """Another face before the same background (eq. 18)."""
    return {"identity/background": weights.identity_background * pair.region_loss((0,))}


def expression_terms(pair: Pair, triangles: Tensor, helpers: Helpers, weights: PairWeights) -> Terms:
    """The same skin and lips moved, all else unmoved (eq. 20 to 22)."""
    helpers.check({"style": weights.expression_lips})
    first, second = (seen_at_224(shown.image) for shown in (pair.first, pair.second))
    flow, mask = pixel_flow(triangles, pair.first_face.mesh, pair.second_face.mesh, SIZE)
    faces = [1 - region(classes, NOT_FACE, SIZE) for classes in pair.classes]
    flow_mask = mask * faces[0] * faces[1]
    terms = {
        "expression/flow": weights.expression_flow * flow_loss(first, second, flow, flow_mask),
        "expression/background": weights.expression_background * pair.region_loss(NOT_FACE),
        "expression/hair": weights.expression_hair * pair.hair_loss(),
    }  # fmt: skip
    if helpers.style is not None:
        terms["expression/lips"] = weights.expression_lips * _lips(pair, helpers.style)
    return terms


def _lips(pair: Pair, style: Callable[[Tensor], list[Tensor]]) -> Tensor:
    """The lip style loss, the sum over layers."""
    features = [style(image) for image in pair.images]
    total = pair.first.image.new_zeros(())
    for first, second in zip(*features, strict=True):
        masks = [region(classes, LIPS, first.shape[-1]) for classes in pair.classes]
        total = total + style_loss(first, second, *masks)
    return total


def light_terms(pair: Pair, helpers: Helpers, weights: PairWeights) -> Terms:
    """The same person with the same expression before the same background in another light."""
    helpers.check({"recognizer": weights.light_identity, "landmarks": weights.light_landmarks})
    images = [seen_at_224(shown.image) for shown in (pair.first, pair.second)]
    terms = {
        "light/background": weights.light_background * pair.region_loss(NOT_FACE),
        "light/hair": weights.light_hair * pair.hair_loss(),
    }  # fmt: skip
    if helpers.recognizer is not None:
        features = _recognized(helpers.recognizer, pair.first_face.landmarks, *images)
        terms["light/identity"] = weights.light_identity * identity_loss(*features)
    if helpers.landmarks is not None:
        first, second = (helpers.landmarks(image) for image in images)
        terms["light/landmarks"] = weights.light_landmarks * landmark_loss(first, second, landmark_weights().to(first))
    return terms
