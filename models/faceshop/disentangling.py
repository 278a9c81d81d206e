"""Stage two: of two faces that differ in one block of the code all else shall be alike (3DFaceShop section 4.3.2, eq. 18 to 22;
spec 10).

Both faces share noise, render pose and conditioning pose, and all blocks but one. Images are [B,3,H,W] in 0..1, classes
[B,K,h,w], masks [B,1,H,W]. All losses are scalars, unweighted.

Notable choices, where text and code disagree or the code fails:
- flows are in pixels. The code's are 2.17 times too long;
- outside of the face the flow is 0 in both pictures, as the paper says, so hair before a face is not dragged along;
- hair is compared by its probability. The code compares decided masks, which have no gradient;
- lips are compared channel by channel by the mean and variance over the lips. The code takes one number over all channels and
  pixels, lips or not.
"""

from torch import Tensor
from torch.nn import functional as F

from models.faceshop.imitation import color_distance, texture_loss
from models.rendering.mesh import Projected, interpolated, rasterize
from models.training.flow import moved_by

NOT_FACE = (0, 14, 15, 16, 17)
"""Background, neck, necklace, cloth, hair."""
HAIR, LIPS = (16, 17), (12, 13)


def region(classes: Tensor, wanted: tuple[int, ...], size: int) -> Tensor:
    """[B,1,size,size] 1 where the likeliest class, bicubically enlarged, is one of `wanted`; without gradient."""
    wide = F.interpolate(classes.detach(), size=(size, size), mode="bicubic", align_corners=False)
    likeliest = wide.argmax(1, keepdim=True)
    return (likeliest[..., None] == likeliest.new_tensor(wanted)).any(-1).float()


def probability(classes: Tensor, wanted: tuple[int, ...]) -> Tensor:
    """[B,1,h,w] that a pixel is of one of these classes."""
    return classes[:, list(wanted)].sum(1, keepdim=True)


def region_loss(first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> Tensor:
    """Mean length of the color difference of both images, each in its own mask (eq. 18)."""
    lengths = color_distance(first_mask * first, second_mask * second)
    return 2 * lengths.sum() / (first_mask + second_mask).sum().clamp(min=1)


def mask_loss(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared difference of masks or probabilities [B,1,h,w]."""
    return (first - second).square().mean()


def pixel_flow(triangles: Tensor, first: Projected, second: Projected, size: int) -> tuple[Tensor, Tensor]:
    """Flow [B,2,size,size], rows first, from where the second face is seen to where the same skin is in the first, in pixels of
    224, and the mask [B,1,size,size] of the second; both without gradient."""
    difference = (first.pixels - second.pixels).flip(-1)
    fragments = rasterize(second.pixels, second.depth, triangles, size)
    return interpolated(fragments, difference, triangles), fragments.mask


def flow_loss(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """Mean length of the color difference between the second image and the first one moved by the flow, in the mask (eq.
    20)."""
    return texture_loss(second, moved_by(first, -flow), mask)


def style_loss(first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> Tensor:
    """Squared differences of mean and variance of features [B,C,h,w] over masks [B,1,h,w], the mean over channels (eq. 21)."""
    one, other = (_moments(values, mask) for values, mask in ((first, first_mask), (second, second_mask)))
    return sum(((a - b).square().mean() for a, b in zip(one, other, strict=True)), first.new_zeros(()))


def _moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [B,C] over a mask."""
    area = mask.sum((2, 3)).clamp(min=1)
    mean = (values * mask).sum((2, 3)) / area
    return mean, ((values - mean[..., None, None]).square() * mask).sum((2, 3)) / area
