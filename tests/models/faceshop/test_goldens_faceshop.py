"""3DFaceShop's networks against the official vectors (shared/goldens/3dfaceshop, its README says what each array is)."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.faceshop.config import FACESHOP512, FaceShopConfig
from models.faceshop.discriminator import FaceShopDiscriminator, as_raw, enlarged
from models.faceshop.generator import Encoder, FaceShop
from models.faceshop.marching import Marching, head_density
from models.faceshop.pose import camera_at, focal_to_edges, pose_angles
from models.networks.superresolution import ResidualSuperResolution
from models.rendering.blending import BACKGROUND, HAIR, Samples, blended, kept, probability
from models.rendering.compositing import nerf_weights
from models.rendering.renderer import render_rays
from models.rendering.sampling import Sampling, Volume, inverse_cdf, stratified
from models.training.losses import discriminator_loss, generator_loss, r1_penalty
from models.volumes.decoders import SemanticDecoder
from models.volumes.planes import INNER, PLANE_AXES, as_texels, lookup
from tests.faceshop_goldens import golden
from tests.reference import Tensors, largest_difference

TOLERANCE = 1e-5
NEAR, FAR, STEPS = 0.88, 1.12, 5


def load(module: nn.Module, arrays: Tensors, prefix: str) -> None:
    module.load_state_dict({name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)})


def samples(values: Tensor) -> Samples:
    """A field [B,N,S,52] as three colors, 29 features, density and 19 classes; rays and samples in one."""
    features, density, classes = values.split([32, 1, 19], -1)
    return Samples(features=features, density=density[..., 0], classes=classes)


def summed(values: Tensor, weights: Tensor) -> Tensor:
    return (weights[..., None] * values).sum(-2)


def without_background(field: Samples, depths: Tensor) -> Tensor:
    """Classes [B,N,K] along rays whose samples are empty where the background is likeliest, as in the official labels."""
    empty = field.classes.argmax(-1) == BACKGROUND
    return summed(field.classes, nerf_weights(field.density.masked_fill(empty, 0.0), depths))


# Cameras and rays


def test_cameras_are_the_official_ones() -> None:
    official = golden("03_camera_rays_pdf")
    angles = official["pose_phi_theta"]
    camera = camera_at(angles)
    opengl = camera.world_from_camera @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    assert largest_difference(opengl, official["cam2world"]) < TOLERANCE
    assert largest_difference(pose_angles(camera), angles) < TOLERANCE


def test_rays_and_their_samples_are_the_official_ones() -> None:
    official = golden("03_camera_rays_pdf")
    camera = camera_at(official["pose_phi_theta"], focal=focal_to_edges(12.6, 6))
    origins, directions = camera.rays(6)
    assert largest_difference(directions, official["world_dirs"]) < TOLERANCE
    assert largest_difference(origins, official["world_origins"]) < TOLERANCE
    seen: list[Tensor] = []

    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(points)
        return points, points[..., 0]

    for name, u in (("world_z", official["perturb_uniform"][..., 0]), ("z_vals", torch.full((3, 36, STEPS), 0.5))):
        depths = stratified(torch.tensor(NEAR), torch.tensor(FAR), STEPS, u - 0.5)
        assert largest_difference(depths, official[name][..., 0]) < TOLERANCE
    sampling = Sampling(coarse=STEPS, fine=0, u_coarse=official["perturb_uniform"][..., 0])
    render_rays(field, origins, directions, sampling, Volume(limits=(NEAR, FAR), rule="nerf"))
    assert largest_difference(torch.cat(seen).unflatten(1, (36, STEPS)), official["world_points"]) < TOLERANCE


@pytest.mark.parametrize(("uniforms", "samples"), [("pdf_u", "pdf_samples_u"), ("linspace", "pdf_samples_det7")])
def test_importance_samples_are_the_official_ones(uniforms: str, samples: str) -> None:
    official = golden("03_camera_rays_pdf")
    u = torch.linspace(0, 1, 7).expand(4, -1) if uniforms == "linspace" else official[uniforms]
    drawn = inverse_cdf(official["pdf_bins"], official["pdf_weights"], u)
    assert largest_difference(drawn, official[samples]) < TOLERANCE


# The field and what rays see of it


def test_planes_are_summed_and_decoded_as_officially() -> None:
    official = golden("04_triplane_decoder")
    texels = as_texels(official["planes"].unflatten(1, (3, 8)))
    features = 3 * lookup(texels, official["points"], PLANE_AXES["faceshop"], 0.37 + 2 * INNER, to_corners=True)
    assert (official["points"].abs() > 0.185).any(), "some outside of the box"
    assert largest_difference(features.mT, official["features"]) < TOLERANCE
    decoder = SemanticDecoder(8, hidden=16, features=32, classes=19)
    load(decoder, official, "sd/")
    color, density, classes = decoder(features)
    together = torch.cat([color, F.softplus(density)[..., None], classes], -1)
    assert largest_difference(together, official["decoder_out"]) < TOLERANCE
    assert largest_difference(decoder.density(features), density) < TOLERANCE


def test_features_and_classes_are_composited_as_officially() -> None:
    official = golden("05_composite")
    depths, field = official["z_vals"][..., 0], samples(official["field"])
    weights = nerf_weights(field.density, depths)
    assert largest_difference(weights, official["weights"][..., 0]) < TOLERANCE
    assert largest_difference((weights * depths).sum(-1, keepdim=True), official["depth"]) < TOLERANCE
    values = torch.cat([field.features, field.classes], -1)
    march = Marching(features=32, matte="soft", alone=False)
    features, classes, _, _ = march.integrate(values, field.density, depths, Volume(rule="nerf"))
    assert largest_difference(features, official["features"]) < TOLERANCE
    assert largest_difference(classes, official["labels"]) < TOLERANCE
    assert largest_difference(classes.sum(-1), torch.ones(2, 6)) < TOLERANCE


def test_the_picture_of_the_labels_is_the_official_one() -> None:
    """Of the first picture alone: the official function fails at the second."""
    official = golden("05_composite")
    classes = without_background(samples(official["field"][:1]), official["z_vals"][:1, ..., 0])
    assert largest_difference(classes @ official["label_palette"], official["first_item_label_rgb"]) < TOLERANCE


@pytest.mark.parametrize(
    ("mode", "classes"), [("none", ()), ("background", (BACKGROUND,)), ("hair", (HAIR,)), ("both", (BACKGROUND, HAIR))]
)
def test_the_authors_hard_mask_is_the_official_one(mode: str, classes: tuple[int, ...]) -> None:
    official = golden("06_volume_blend")
    depths = official["z_vals"][..., 0]
    still, moving = samples(official["field_neutral"]), samples(official["field_animated"])
    mixed = kept(still, moving, classes) if classes else moving
    weights = nerf_weights(mixed.density, depths)
    assert largest_difference(weights, official[f"{mode}/weights"][..., 0]) < TOLERANCE
    assert largest_difference(summed(mixed.features, weights), official[f"{mode}/features"]) < TOLERANCE
    assert largest_difference((weights * depths).sum(-1, keepdim=True), official[f"{mode}/depth"]) < TOLERANCE
    labels, palette = without_background(mixed, depths), golden("05_composite")["label_palette"]
    assert largest_difference(labels, official[f"{mode}/labels"]) < TOLERANCE
    assert largest_difference(labels @ palette, official[f"{mode}/label_rgb"]) < TOLERANCE


def test_the_soft_blend_is_its_formula() -> None:
    official = golden("06_volume_blend")
    still, moving = samples(official["field_neutral"]), samples(official["field_animated"])
    share = probability(moving, tuple(range(1, 14)))
    assert largest_difference(share, official["soft_own/w_face"][..., 0]) < TOLERANCE
    mixed = blended(still, moving, share)
    weights = nerf_weights(mixed.density, official["z_vals"][..., 0])
    assert largest_difference(summed(mixed.features, weights), official["soft_own/features"]) < TOLERANCE


def test_a_background_is_removed_as_its_formula_says() -> None:
    official = golden("06_volume_blend")
    moving = samples(official["field_animated"])
    weights = nerf_weights(head_density(moving.density, moving.classes, "hard"), official["z_vals"][..., 0])
    assert largest_difference(summed(moving.features, weights), official["bgremove_own/features"]) < TOLERANCE
    assert largest_difference(weights.sum(-1, keepdim=True), official["bgremove_own/alpha"]) < TOLERANCE


# Networks

TINY = FaceShopConfig(
    noise_dim=5, shape_dim=3, albedo_dim=0, expression_dim=3, light_dim=9, w_dim=16, channel_base=512, channel_max=16,
    plane_resolution=16, plane_channels=4, decoder_features=8, image_size=32, neural_rendering_resolution=8,
    superresolution_channels=(12, 12),
)  # fmt: skip
"""The networks of 13: z 20, w 16, planes 12 x 16 x 16."""


def encoder(official: Tensors) -> Encoder:
    network = Encoder(TINY)
    load(network, official, "G/")
    return network


@torch.no_grad()
def test_latents_are_the_official_ones() -> None:
    official = golden("13_mapping_synthesis_sr")
    mapping = encoder(official).mapping
    assert largest_difference(mapping(official["z"], official["pose"]), official["ws"]) < TOLERANCE
    assert largest_difference(mapping(official["z"], official["pose"], 0.7), official["ws_psi07"]) < TOLERANCE
    each = mapping.w(official["zplus"], official["zplus_pose"])[None]
    assert largest_difference(each, official["ws_zplus"]) < TOLERANCE


@torch.no_grad()
def test_a_code_for_every_layer_is_mapped_as_officially() -> None:
    official = golden("13_mapping_synthesis_sr")
    generator = FaceShop(TINY)
    generator.encoder.load_state_dict(encoder(official).state_dict())
    labels = camera_at(official["zplus_pose"]).label()
    ws = torch.cat([generator.mapping_of_layers(official["zplus"][None, [row]], labels[[row]]) for row in range(6)], 1)
    assert largest_difference(ws, official["ws_zplus"]) < TOLERANCE


@torch.no_grad()
def test_planes_are_the_official_ones() -> None:
    official = golden("13_mapping_synthesis_sr")
    assert largest_difference(encoder(official).synthesis(official["ws"], "const"), official["planes"]) < TOLERANCE


@torch.no_grad()
def test_super_resolution_is_the_official_one() -> None:
    official = golden("13_mapping_synthesis_sr")
    network = ResidualSuperResolution(8, doublings=2, image_size=32, w_dim=16, channels=(12, 12))
    load(network, official, "SR/")
    assert largest_difference(network(official["sr_in"], official["ws"]), official["sr_out"]) < TOLERANCE


def discriminator(official: Tensors) -> FaceShopDiscriminator:
    config = FaceShopConfig(
        noise_dim=1, shape_dim=0, albedo_dim=0, expression_dim=0, light_dim=9, channel_base=512, channel_max=16, image_size=32,
        discriminator_group=1,
    )  # fmt: skip
    network = FaceShopDiscriminator(config)
    load(network, official, "D/")
    return network


def test_the_discriminator_and_its_losses_are_the_official_ones() -> None:
    official = golden("14_discriminator")
    judge = discriminator(official)
    real = judge.stacked({"image": official["real"], "image_raw": as_raw(official["real"], 8)})
    fake = judge.stacked({"image": official["fake_final"], "image_raw": official["fake_raw8"]})
    assert largest_difference(real, official["real6"]) < TOLERANCE
    assert largest_difference(fake, official["fake6"]) < TOLERANCE
    assert largest_difference(enlarged(official["fake_raw8"], 32), official["fake6"][:, :3]) < TOLERANCE
    real.requires_grad_()
    verdicts = {"real": judge.of_stack(real, official["pose_real"]), "fake": judge.of_stack(fake, official["pose_fake"])}
    for name, verdict in verdicts.items():
        assert verdict.pose is not None and verdict.latent is not None
        assert largest_difference(verdict.logits, official[f"{name}_logit"]) < TOLERANCE
        assert largest_difference(verdict.pose, official[f"{name}_pose"]) < TOLERANCE
        assert largest_difference(verdict.latent, official[f"{name}_latent"]) < TOLERANCE
    logits = {name: verdict.logits for name, verdict in verdicts.items()}
    assert float(discriminator_loss(**logits).detach()) == pytest.approx(float(official["d_adv"]), rel=1e-3)
    assert float(generator_loss(logits["fake"]).detach()) == pytest.approx(float(official["g_adv"]), rel=1e-3)
    penalty = r1_penalty(logits["real"], real).mean().detach()
    assert float(penalty) == pytest.approx(float(official["r1"]), rel=1e-3)
    assert float(10 / 2 * 16 * penalty) == pytest.approx(float(official["r1_step_loss"]), rel=1e-3)


def test_the_full_size_has_as_many_parameters_as_the_official_one() -> None:
    with torch.device("meta"):
        generator, judge = FaceShop(FACESHOP512), FaceShopDiscriminator(FACESHOP512)
    expected = {
        generator: 30_793_224, generator.encoder.mapping: 2_296_832, generator.encoder.synthesis: 28_207_533,
        generator.decoder: 5_492, generator.sr: 283_367, judge: 31_543_421,
    }  # fmt: skip
    assert {part: sum(one.numel() for one in part.parameters()) for part in expected} == expected
    assert generator.latent.num_ws == 14 and generator.latent.z_dim == 379
    assert FACESHOP512.blocks["expression"] == slice(288, 352)
