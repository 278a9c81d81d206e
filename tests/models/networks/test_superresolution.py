import pytest
import torch

from models.networks.superresolution import VARIANTS, SuperResolution


def network(variant: str, image_size: int) -> SuperResolution:
    return SuperResolution(4, variant=VARIANTS[variant], image_size=image_size, w_dim=8, channels=(6, 4))


@pytest.mark.parametrize(
    ("variant", "image_size", "raw_size"), [("2X", 32, 16), ("2X", 32, 24), ("4X", 32, 8), ("8XDC", 64, 24)]
)
def test_every_variant_reaches_the_image_size(variant: str, image_size: int, raw_size: int):
    ws, features = torch.randn(2, 6, 8), torch.randn(2, 4, raw_size, raw_size)
    image, _ = network(variant, image_size)(features[:, :3], features, ws)
    assert image.shape == (2, 3, image_size, image_size)


def test_only_the_last_w_is_read():
    module, features, ws = network("2X", 32), torch.randn(1, 4, 16, 16), torch.randn(1, 6, 8)
    changed = ws.clone()
    changed[:, :-1] += 1
    assert torch.equal(module(features[:, :3], features, ws)[0], module(features[:, :3], features, changed)[0])
    changed[:, -1] += 1
    assert not torch.equal(module(features[:, :3], features, ws)[0], module(features[:, :3], features, changed)[0])


def test_the_first_block_adds_its_torgb_to_the_raw_image():
    """The release does this in place where nothing was resized (spec 1.11)."""
    module, features, ws = network("2X", 32), torch.randn(1, 4, 16, 16), torch.randn(1, 6, 8)
    _, skip = module(features[:, :3], features, ws)
    x, color = module.block0(features, None, ws[:, -1:].expand(-1, 3, -1), "none")
    assert x.shape == (1, 6, 16, 16)
    assert torch.allclose(skip, features[:, :3] + color, atol=1e-6)


def test_enlarging_only_leaves_larger_inputs():
    assert not network("4X", 32).resizes(24)
    assert network("4X", 32).resizes(12)
    assert network("2X", 32).resizes(24)
    assert not network("2X", 32).resizes(16)
