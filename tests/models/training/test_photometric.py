"""models.training.photometric: distances of images that count only where the truth is known."""

import torch

from models.training.photometric import color_loss, contrast_loss, gradient_loss, weighted_mean


def stripes(shift: int = 0, size: int = 24) -> torch.Tensor:
    """[1,3,size,size] vertical stripes, three pixels wide."""
    column = (torch.arange(size) + shift) // 3 % 2
    return (column * 2.0 - 1).expand(1, 3, size, size)


def test_weighted_mean_follows_its_example() -> None:
    values, weight = torch.tensor([[[[1.0, 4.0]]]]), torch.tensor([[[[3.0, 1.0]]]])
    assert float(weighted_mean(values, weight)) == 7 / 4


def test_a_blur_has_lost_contrast_and_a_shifted_pattern_has_not() -> None:
    truth, shifted = stripes(), stripes(1)
    blurred = torch.nn.functional.avg_pool2d(truth, 7, stride=1, padding=3, count_include_pad=False)
    everywhere = torch.ones(1, 1, 24, 24)
    assert float(contrast_loss(truth, truth, everywhere)) == 0.0
    assert float(contrast_loss(blurred, truth, everywhere)) > 2 * float(contrast_loss(shifted, truth, everywhere))
    assert float(gradient_loss(shifted, truth, everywhere)) > float(gradient_loss(blurred, truth, everywhere))


def test_contrast_counts_only_where_the_weight_is() -> None:
    flat, weight = torch.zeros(1, 3, 24, 24), torch.zeros(1, 1, 24, 24)
    assert float(contrast_loss(flat, stripes(), weight)) == 0.0
    weight[..., 12:] = 1.0
    assert float(contrast_loss(flat, stripes(), weight)) > 0.3


def test_parts_of_a_batch_add_up() -> None:
    torch.manual_seed(0)
    image, truth, weight = torch.randn(4, 3, 12, 12), torch.randn(4, 3, 12, 12), torch.rand(4, 1, 12, 12)
    for loss in (color_loss, gradient_loss, contrast_loss):
        first, second = (loss(image[n : n + 2], truth[n : n + 2], weight[n : n + 2], of=weight) for n in (0, 2))
        assert torch.allclose(first + second, loss(image, truth, weight), atol=1e-6)
