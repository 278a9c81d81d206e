"""Optical flow and warps of squares: a picture is premultiplied float32 [S,S,4] in 0..1, a flow float32 [S,S,2] in px."""

from functools import lru_cache
from typing import Any

import numpy as np

Part = tuple[slice, slice]
"""Rows and columns of a picture."""
FLOW_BLUR = 4.0
"""Standard deviation in px: what flow between two renders says about single pixels is noise."""
TEXTURE = 0.03
"""Standard deviation, over the side, of the brightness that `texture` leaves out."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow f with first(x) = second(x + f(x)), of uint8 [S,S]; DIS, Kroeger et al. 2016.

    Its finer presets take five times as long and gain nothing on held-out frames.
    """
    import cv2

    library: Any = cv2  # its stubs know neither this flow nor a map of both coordinates
    engine = library.DISOpticalFlow_create(library.DISOPTICAL_FLOW_PRESET_FAST)
    return blurred(engine.calc(first, second, None), FLOW_BLUR)


def warped(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture [S,S,...] at x + flow(x); its edge is repeated."""
    return _read(picture, flow + _positions(len(flow)))


def warped_part(picture: np.ndarray, flow: np.ndarray, part: Part) -> np.ndarray:
    """The same of a part [h,w,...] alone."""
    return _read(picture, flow[part] + _positions(len(flow))[part])


def _read(picture: np.ndarray, places: np.ndarray, *, cubic: bool = True) -> np.ndarray:
    """[h,w,...] the picture at places [h,w,2]."""
    import cv2

    library: Any = cv2
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return library.remap(picture, places, None, how, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=8)
def _positions(size: int) -> np.ndarray:
    """float32 [size,size,2]: every pixel's own x, y."""
    rows, columns = np.indices((size, size), dtype=np.float32)
    return np.dstack([columns, rows])


def chained(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The flow x -> first(x) + second(x + first(x)): along `first`, and on along `second`. Flows are smooth: linear will do."""
    return first + _read(second, first + _positions(len(first)), cubic=False)


def limited(flow: np.ndarray, longest: float) -> np.ndarray:
    """The flow with no vector longer than so many px."""
    import cv2

    factor = longest / np.maximum(cv2.magnitude(flow[..., 0], flow[..., 1]), longest)
    return cv2.multiply(flow, cv2.merge([factor, factor]))


def resized_flow(flow: np.ndarray, size: int) -> np.ndarray:
    import cv2

    shrinks = size < len(flow)
    scaled = flow * np.float32(size / len(flow))
    return cv2.resize(scaled, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def weighted(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float32 [h,w,4]: a picture, float32 or uint8, times share [h,w]."""
    import cv2

    return cv2.multiply(picture, cv2.merge([share] * 4), dtype=cv2.CV_32F)


def levels(picture: np.ndarray) -> np.ndarray:
    """float32 [S,S] in 0..255: the gray levels of a picture over mid gray."""
    return 255 * (picture[..., :3] @ LUMA + 0.5 * (1 - picture[..., 3]))


def gray(picture: np.ndarray) -> np.ndarray:
    """uint8 [S,S]: the gray levels of a picture over mid gray."""
    return np.clip(levels(picture), 0, 255).astype(np.uint8)


def texture(levels: np.ndarray) -> np.ndarray:
    """uint8 [S,S]: gray levels [S,S] without what varies slowly, so that another light is no motion."""
    return np.clip(128 + 2 * (levels - blurred(levels, TEXTURE * len(levels))), 0, 255).astype(np.uint8)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), sigma)


def sized(values: np.ndarray, size: int) -> np.ndarray:
    """[S,S,...] at `size` px: area averages downward, cubic upward."""
    import cv2

    if len(values) == size:
        return values
    return cv2.resize(values, (size, size), interpolation=cv2.INTER_AREA if size < len(values) else cv2.INTER_CUBIC)
