from dataclasses import replace

import pytest
import torch

from models.camera import Camera
from models.eg3d.config import QUICK, UNIT
from models.generator import Rendering
from models.networks.dual_discriminator import DualDiscriminator, MaskBranchDiscriminator, MaskDiscriminator


def inputs(batch: int = 2) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(1)
    images = {"image": torch.randn(batch, 3, 32, 32), "image_raw": torch.randn(batch, 3, 16, 16)}
    return images, torch.randn(batch, 25)


def test_a_rendering_is_judged_like_its_two_images():
    images, label = inputs()
    discriminator = DualDiscriminator(UNIT)
    empty = torch.zeros(2, 1, 16, 16)
    rendering = Rendering(image=images["image"], raw=images["image_raw"], depth=empty, alpha=empty)
    logits = discriminator(rendering, Camera.from_label(label)).logits
    assert logits.shape == (2, 1)
    assert torch.equal(logits, discriminator(images, label).logits)


def test_both_images_and_the_camera_matter():
    images, label = inputs()
    discriminator = DualDiscriminator(UNIT)
    logits = discriminator(images, label).logits
    for name, value in images.items():
        assert not torch.equal(discriminator({**images, name: value + 1}, label).logits, logits)
    assert not torch.equal(discriminator(images, label + 1).logits, logits)


def test_label_noise_leaves_the_caller_and_a_single_label_alone():
    images, label = inputs()
    discriminator = DualDiscriminator(replace(UNIT, disc_c_noise=1.0))
    before = label.clone()
    first, second = (discriminator(images, label).logits for _ in range(2))
    assert torch.equal(label, before)
    assert not torch.equal(first, second)
    single = {name: value[:1] for name, value in images.items()}
    assert torch.equal(discriminator(single, label[:1]).logits, discriminator(single, label[:1]).logits)


def test_the_quick_discriminator_is_small():
    count = sum(parameter.numel() for parameter in DualDiscriminator(QUICK).parameters())
    assert 100_000 < count < 300_000


def with_mask() -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    images, label = inputs()
    return {**images, "image_mask": torch.rand(2, 1, 16, 16)}, label


@pytest.mark.parametrize("kind", [MaskDiscriminator, MaskBranchDiscriminator])
def test_the_mask_is_judged_too(kind: type[DualDiscriminator]):
    images, label = with_mask()
    discriminator = kind(UNIT)
    logits = discriminator(images, label).logits
    for name, value in images.items():
        assert not torch.equal(discriminator({**images, name: value + 1}, label).logits, logits), name
    mask = images["image_mask"]
    rendering = Rendering(image=images["image"], raw=images["image_raw"], depth=mask, alpha=mask, semantics=mask)
    assert torch.equal(discriminator(rendering, label).logits, logits)
    with pytest.raises(ValueError, match="pass `image_mask`"):
        discriminator({name: images[name] for name in ("image", "image_raw")}, label)


def test_a_mask_of_one_half_is_a_gray_channel():
    images, label = with_mask()
    discriminator = MaskDiscriminator(UNIT)
    before = discriminator({**images, "image_mask": torch.full((2, 1, 16, 16), 0.5)}, label).logits
    weight = discriminator.get_submodule("b32.fromrgb").weight
    assert isinstance(weight, torch.Tensor) and weight.shape[1] == 7
    torch.nn.init.zeros_(weight[:, 6])
    assert torch.equal(discriminator({**images, "image_mask": torch.rand(2, 1, 16, 16)}, label).logits, before)


def test_the_mask_branch_has_blocks_of_its_own():
    state = MaskBranchDiscriminator(UNIT, mask_size=16).state_dict()
    assert {name.split(".")[0] for name in state if name.startswith("sb")} == {"sb16", "sb8"}
    assert state["sb16.fromrgb.weight"].shape == (8, 1, 1, 1)
    assert state["b32.fromrgb.weight"].shape == (4, 6, 1, 1)
    plain = set(DualDiscriminator(UNIT).state_dict())
    assert {name for name in state if not name.startswith("sb")} == plain
