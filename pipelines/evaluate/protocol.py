"""The frozen evaluation: held-out frames only, against baselines made of the same person's training frames.

Protocol `heldout-1`: the last 15 % of the capture by time; crop and camera of the dataset; the head matte over mid gray, at the
generator's image size; crop pixels outside the source frame count nowhere. `full` averages over the rest of the frame, `head`
weights every pixel by the head matte. Baselines: `mean` = per-pixel mean of the matted training frames; `retrieval` = the
training frame nearest in expression and pose; `oracle` = the training frame with the least pixel error.

At another size than the generator's (`evaluate --size 512`) everything is the same, frames and renders in that size; the avatar
is what `Portrait.render(size=...)` shows, with whatever it lays over the generator's picture, and one more baseline stands
beside: `enlarged` = the generator's picture alone, enlarged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from pipelines.artifacts.avatar import Avatar
    from pipelines.artifacts.dataset import Dataset

PROTOCOL = "heldout-1"
RECORD, PAGE = "evaluation.json", "report.html"
"""Files of an evaluation."""
CLOSE = 4
"""As many training images are compared to the last digit when `oracle` chooses among them."""
PART_PIXELS = 16 << 18
"""Of training images that are held at a time: 16 of 512 px."""
ROTATION_WEIGHT = 50.0
TRANSLATION_WEIGHT = 0.01
"""Of the squared Frobenius distance of rotations and the squared pixel distance of head positions in `retrieval`."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Frames over mid gray with what counts in them; float32, colors in 0..1."""

    image: np.ndarray
    """[N,S,S,3]"""
    matte: np.ndarray
    """[N,S,S]"""
    inside: np.ndarray
    """[N,S,S] bool"""


def score(renders: np.ndarray, truth: Pictures) -> dict[str, float]:
    """Mean figures of renders [N,S,S,3] in 0..1 against the truth: PSNR in dB, SSIM, sharpness ratio; full and head."""
    return mean_of(score_rows(renders, truth))


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def score_rows(renders: np.ndarray, truth: Pictures) -> list[dict[str, float]]:
    """The figures of each frame, whose means `score` gives."""
    full = truth.inside.astype(np.float32)
    head = full * truth.matte
    rows = []
    for render, image, everywhere, inside_head in zip(renders, truth.image, full, head, strict=True):
        similarity = ssim(render, image)
        rows.append(
            {
                "psnr_full": psnr(render, image, everywhere), "psnr_head": psnr(render, image, inside_head),
                "ssim_full": weighted(similarity, everywhere), "ssim_head": weighted(similarity, inside_head),
                "sharpness_head": sharpness_ratio(render, image, inside_head),
            }
        )  # fmt: skip
    return rows


def psnr(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> float:
    """-10 log10 of the weighted mean squared error of [S,S,3] images in 0..1; 60 dB where they are equal."""
    return float(-10 * np.log10(max(weighted(((a - b) ** 2).mean(-1), weight), 1e-6)))


def weighted(values: np.ndarray, weight: np.ndarray) -> float:
    return float((values * weight).sum() / max(float(weight.sum()), 1e-6))


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity map [S,S] of gray values, 11x11 Gaussian window of sigma 1.5, constants 0.01 and 0.03."""
    a, b = a.mean(-1), b.mean(-1)

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=5 / 1.5, mode="reflect")

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_a * mean_b + c1) * (2 * cov + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def sharpness(image: np.ndarray, weight: np.ndarray) -> float:
    """Mean squared gradient of the gray values where `weight` says."""
    down, across = np.gradient(image.mean(-1))
    return weighted(down**2 + across**2, weight)


def sharpness_ratio(render: np.ndarray, image: np.ndarray, weight: np.ndarray) -> float:
    """1 where the render has as much gradient as the truth."""
    return sharpness(render, weight) / max(sharpness(image, weight), 1e-12)


@dataclass(frozen=True, kw_only=True)
class Poses:
    """What `retrieval` compares: a row a frame."""

    expression: np.ndarray
    """[N,E]"""
    rotation: np.ndarray
    """[N,3,3]"""
    position_px: np.ndarray
    """[N,2] of the head's center in the source frame."""


def retrieve(query: Poses, train: Poses) -> np.ndarray:
    """Row numbers [Q] into `train`: least |z-scored expression|^2 + 50 |R-R'|_F^2 + 0.01 |t-t'|_px^2."""
    mean, std = train.expression.mean(0), np.maximum(train.expression.std(0), 1e-6)
    a, b = (query.expression - mean) / std, (train.expression - mean) / std
    cost = ((a[:, None] - b[None]) ** 2).sum(-1)
    cost = cost + ROTATION_WEIGHT * ((query.rotation[:, None] - train.rotation[None]) ** 2).sum((-1, -2))
    cost = cost + TRANSLATION_WEIGHT * ((query.position_px[:, None] - train.position_px[None]) ** 2).sum(-1)
    return cost.argmin(1)


class Images(Protocol):
    """M images, float32 [.,S,S,3] of those that are asked for; an array is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> np.ndarray: ...


@dataclass(frozen=True)
class TrainingImages:
    """The matted training frames at a size, read when they are asked for: at 512 px all of them are a gigabyte."""

    capture: "Dataset"
    size: int

    def __len__(self) -> int:
        return len(self.capture.rows("train"))

    def __getitem__(self, index: Any, /) -> np.ndarray:
        return pictures_of(self.capture, self.capture.rows("train")[index], self.size).image


def in_parts(images: Images) -> Iterator[np.ndarray]:
    """At most PART_PIXELS of them at a time."""
    side = images[:1].shape[1]
    step = max(1, PART_PIXELS // side**2)
    return (images[first : first + step] for first in range(0, len(images), step))


def oracle(truth: Pictures, train: Images) -> np.ndarray:
    """Row numbers [N] of the training images with the least squared error inside the source frame."""
    near = np.argsort(np.concatenate([rough_errors(truth, part) for part in in_parts(train)], axis=1), axis=1)[:, :CLOSE]
    errors = [
        [float((((train[[row]] - image) ** 2).mean(-1) * inside).sum()) for row in rows]
        for image, inside, rows in zip(truth.image, truth.inside, near, strict=True)
    ]
    return near[np.arange(len(near)), np.argmin(errors, axis=1)]


def rough_errors(truth: Pictures, part: np.ndarray) -> np.ndarray:
    """[N,K] weighted squared errors between truths and images [K,S,S,3], but for what each truth adds to all of its own.

    sum w (x - t)^2 = sum w x^2 - 2 sum w t x + sum w t^2: two products of matrices, in single precision.
    """
    flat, count = part.reshape(len(part), -1), len(truth.image)
    weight = np.repeat(truth.inside[..., None], 3, axis=3).reshape(count, -1).astype(np.float32)
    return (weight @ (flat * flat).T) - 2 * ((weight * truth.image.reshape(count, -1)) @ flat.T)


def mean_image(train: Images) -> np.ndarray:
    """float32 [S,S,3]"""
    return (np.sum([part.sum(0, dtype=np.float64) for part in in_parts(train)], axis=0) / len(train)).astype(np.float32)


def baselines(truth: Pictures, query: Poses, train_images: Images, train: Poses) -> dict[str, dict[str, float]]:
    found = baseline_images(truth, query, train_images, train)
    return {name: score(images, truth) for name, images in found.items()}


def baseline_images(truth: Pictures, query: Poses, train_images: Images, train: Poses) -> dict[str, np.ndarray]:
    """What each baseline shows [N,S,S,3]."""
    return {
        "mean": np.broadcast_to(mean_image(train_images), truth.image.shape),
        "retrieval": train_images[retrieve(query, train)],
        "oracle": train_images[oracle(truth, train_images)],
    }


def pictures(capture: "Dataset", split: str, size: int) -> Pictures:
    """The truth of one split of a Dataset."""
    return pictures_of(capture, capture.rows(split), size)


def pictures_of(capture: "Dataset", rows: np.ndarray, size: int) -> Pictures:
    """The truth of some rows of a Dataset."""
    matte = capture.head_mattes(rows, size).astype(np.float32) / 255
    color = capture.images(rows, size).astype(np.float32) / 255
    image = color * matte[..., None] + 0.5 * (1 - matte[..., None])
    return Pictures(image=image, matte=matte, inside=capture.inside(rows, size))


def poses(capture: "Dataset", split: str, expression: np.ndarray) -> Poses:
    rows = capture.rows(split)
    center = capture.box[rows, :2] + capture.box[rows, 2:] / 2
    return Poses(expression=expression[rows], rotation=capture.world_from_camera[rows, :3, :3], position_px=center)


def evaluate_model(model: "Avatar", dataset: "Dataset") -> tuple[dict[str, Any], np.ndarray]:
    """The record and the renders [N,S,S,3] of the held-out frames."""
    size = model.image_size
    expression = tracked_expression(dataset, model)
    truth, seen = pictures(dataset, "test", size), TrainingImages(dataset, size)
    renders = render_rows(model, dataset, dataset.rows("test"), expression)
    record = {
        "protocol": PROTOCOL, "frames": len(renders), "image_size": size, "background": "mid gray", "region": "head matte",
        "avatar": score(renders, truth),
        "baselines": baselines(
            truth, poses(dataset, "test", expression), seen, poses(dataset, "train", expression)
        ),
    }  # fmt: skip
    return record, renders


def tracked_expression(dataset: "Dataset", model: "Avatar") -> np.ndarray:
    """[N,E] of every frame in the avatar's space, as the capture tracked them (they never trained the generator)."""
    return dataset.expression(model.space)


def render_rows(model: "Avatar", dataset: "Dataset", rows: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Renders [len(rows),S,S,3] in 0..1 over mid gray, as `drive` shows these expressions to the frames' own cameras."""
    return render_both(model, dataset, rows, expression, model.image_size)[0]


def render_both(
    model: "Avatar", dataset: "Dataset", rows: np.ndarray, expression: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The avatar's pictures [len(rows),size,size,3], and the same without the filmed frames it lays over its render."""
    from pipelines.artifacts.dataset import camera_of
    from pipelines.avatar.portrait import Portrait, gray
    from pipelines.avatar.references.distance import Faces

    portrait, background = Portrait(model), gray(size)
    choices = portrait.choices(
        Faces(expression=expression, world_from_camera=dataset.world_from_camera, openings=dataset.openings()).rows(rows)
    )

    def shown(index: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        scene, camera = portrait.scene(expression[row : row + 1]), camera_of(dataset, np.array([row]))
        chosen = None if choices is None else choices[index : index + 1]
        layers = portrait.render(scene, camera, size=size, background=background, choices=chosen)
        whole = layers.composed()[0, ..., :3]
        return whole, whole if layers.references is None else replace(layers, references=None).composed()[0, ..., :3]

    both = [shown(index, row) for index, row in enumerate(rows)]
    return np.stack([whole for whole, _ in both]), np.stack([plain for _, plain in both])
