"""3DPortraitGAN against the official vectors: names, tri-grid, decoder, pose heads, discriminator."""

from dataclasses import replace

import pytest
import torch

from models.portrait3d.config import PORTRAIT256, PORTRAIT512, PORTRAIT_TINY128, PortraitConfig
from models.portrait3d.discriminator import PoseDiscriminator
from models.portrait3d.generator import Portrait3D
from models.portrait3d.pose_heads import PoseHead, mirrored_label, on_left, symmetric
from models.volumes.decoders import Decoder
from models.volumes.planes import PLANE_AXES, as_texels, crop_mask, with_third
from tests.models.heads.bodies import vectors
from tests.models.portrait3d.reference import discriminator, official_names
from tests.reference import Tensors, each_plane, largest_difference, projected


def part(golden: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in golden.items() if name.startswith(prefix)}


@pytest.mark.parametrize(("config", "parameters"), [(PORTRAIT256, (52.7, 49.2)), (PORTRAIT512, (53.8, 49.3))])
def test_names_shapes_and_sizes_are_the_official_ones(config: PortraitConfig, parameters: tuple[float, float]) -> None:
    with torch.device("meta"):
        networks = {"G": Portrait3D(config), "D": PoseDiscriminator(config)}
    for (name, network), millions in zip(networks.items(), parameters, strict=True):
        ours = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        assert ours == official_names(config.image_size, name)
        assert sum(one.numel() for one in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_the_tri_grid_is_read_as_officially() -> None:
    golden = vectors("trigrid")
    depth, box, axes = int(golden["depth"]), float(golden["box"]), with_third(PLANE_AXES[PORTRAIT_TINY128.plane_axes])
    points = golden["x"]
    assert largest_difference(projected(points, axes), golden["uvw"]) < 1e-6
    ours = each_plane(as_texels(golden["planes"], depth), points, axes, box)
    assert largest_difference(ours, golden["features"]) < 1e-5
    assert torch.equal(crop_mask(points, box, PORTRAIT_TINY128.triplane_crop)[..., None], golden["outside_crop_0p1"])


def test_the_decoder_is_the_official_one() -> None:
    golden, decoder = vectors("trigrid"), Decoder(32, hidden=64, features=32, activation="none")
    decoder.load_state_dict(part(golden, "decoder."))
    features, density = decoder(golden["dec_in"].mean(1))
    assert largest_difference(features, golden["dec_feat"]) < 1e-5
    assert largest_difference(density[..., None], golden["dec_sigma"]) < 1e-5


def test_the_generators_pose_head_is_symmetric_as_officially() -> None:
    golden, head = vectors("pose_flip"), PoseHead(32 + 25, (128, 32))
    head.load_state_dict(part(golden, "pose_branch."))

    def predict(label: torch.Tensor) -> torch.Tensor:
        return head(torch.cat([golden["z"], label], dim=1))

    assert torch.equal(on_left(golden["label"]), golden["is_left"])
    assert torch.equal(mirrored_label(golden["label"]), golden["label_flipped"])
    assert largest_difference(predict(golden["label"]), golden["pose_without_symmetry"]) < 1e-5
    pose, flipped = (symmetric(predict, golden[name]) for name in ("label", "label_flipped"))
    assert largest_difference(pose, golden["pose"]) < 1e-5
    aside = golden["label"][:, 3].abs() > 1e-6
    assert aside.sum() >= 8
    assert largest_difference(flipped[aside], golden["pose_of_flipped_camera"][aside]) < 1e-5
    assert largest_difference(pose[aside] * golden["sign"], flipped[aside]) < 1e-5


def test_the_discriminator_is_the_official_one() -> None:
    golden, judge = vectors("d_pose64"), discriminator(64)
    images = {name: golden[name] for name in ("image", "image_raw", "image_mask")}
    verdict = judge(images, golden["label"])
    assert verdict.pose is not None
    assert largest_difference(verdict.pose, golden["pose"]) < 1e-4
    assert largest_difference(verdict.logits, golden["logits"]) < 1e-4
    given = judge(images, golden["label"], pose=golden["given_pose"])
    assert largest_difference(given.logits, golden["logits_given_pose"]) < 1e-4 and torch.equal(given.pose, verdict.pose)
    for row in range(4):
        alone = {name: image[row : row + 1] for name, image in images.items()}
        pose = judge.pose(alone, golden["label"][row : row + 1])
        assert largest_difference(pose, golden["pose_batch1"][row : row + 1]) < 1e-4


def test_the_pose_comes_from_the_official_features() -> None:
    golden, judge, seen = vectors("d_pose64"), discriminator(64), []
    judge.pose_branch.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    judge({name: golden[name] for name in ("image", "image_raw", "image_mask")}, golden["label"])
    (both,) = seen
    assert largest_difference(both[:, :8192:7], golden["pose_features_stride7"]) < 1e-4
    assert torch.equal(both[:, 8192:], golden["label"])


def test_with_mirrored_labels_the_discriminator_is_exactly_symmetric() -> None:
    golden, official = vectors("d_pose64"), discriminator(64)
    judge = PoseDiscriminator(replace(PORTRAIT_TINY128, image_size=64))
    judge.load_state_dict(official.state_dict())
    pose = judge.pose({name: golden[name] for name in ("image", "image_raw", "image_mask")}, golden["label"])
    assert largest_difference(pose, golden["pose_camera_flipped"]) < 1e-4
    sign = pose.new_tensor([1.0, -1, -1, 1, -1, -1])
    assert largest_difference(pose[[1, 3]] * sign, pose[[0, 2]]) < 1e-5
