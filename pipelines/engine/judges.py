"""The discriminators of a training, by name: what they are shown, their parameters together, their weights in files."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.families import Judge
from pipelines.core.errors import UnusableMaterial

Judges = Mapping[str, Judge]
Images = dict[str, Tensor]
"""`image` [B,3,H,H], `image_raw` [B,3,h,h] in [-1,1] and, where a judge needs it, `image_mask` [B,1,h,h] in 0..1."""


def group_size(judges: Judges) -> int:
    """Images that have to stay together: whole groups of every judge."""
    return math.lcm(*(judge.network.group_size for judge in judges.values()))


def need_mask(judges: Judges) -> bool:
    return any(judge.network.needs_mask for judge in judges.values())


def parameters_of(judges: Judges) -> list[nn.Parameter]:
    return [parameter for judge in judges.values() for parameter in judge.network.parameters()]


def require_gradients(judges: Judges, wanted: bool) -> None:
    for judge in judges.values():
        judge.network.requires_grad_(wanted)


def logits_of(judge: Judge, images: Images, camera: Camera, random: torch.Generator | None) -> Tensor:
    """Logits [B,1] of what the judge sees of the images."""
    shown, seen_by = cropped(images, camera, judge.crop) if judge.crop else (images, camera)
    return judge.network(shown, seen_by, random).logits


def cropped(images: Images, camera: Camera, box: tuple[float, float, float, float]) -> tuple[Images, Camera]:
    """The part (left, top, right, bottom) over image size of all images, at whole pixels, and its camera."""
    left, top, right, bottom = box

    def part(values: Tensor) -> Tensor:
        size = values.shape[-1]
        return values[..., round(top * size) : round(bottom * size), round(left * size) : round(right * size)]

    return {name: part(values) for name, values in images.items()}, camera.cropped(box)


def states_of(judges: Judges) -> dict[str, dict[str, Tensor]]:
    return {name: judge.network.state_dict() for name, judge in judges.items()}


def load_states(judges: Judges, states: Mapping[str, Mapping[str, Tensor]], owner: str) -> None:
    """UnusableMaterial when `owner` holds other discriminators than these."""
    if set(states) != set(judges):
        raise UnusableMaterial(
            f"{owner} has the discriminators {', '.join(sorted(states))} and not {', '.join(sorted(judges))}; it was made by "
            "another version or for another network."
        )
    for name, judge in judges.items():
        try:
            judge.network.load_state_dict(states[name], strict=True)
        except RuntimeError as error:
            raise UnusableMaterial(f"the discriminator {name} of {owner} does not fit the network of its config.") from error


def flat_state(judges: Judges) -> dict[str, Tensor]:
    """The tensors of all as one file holds them: by their own names where there is one judge, else behind the judge's."""
    if len(judges) == 1:
        return next(iter(states_of(judges).values()))
    return {f"{name}/{key}": value for name, state in states_of(judges).items() for key, value in state.items()}


def states_in(flat: Mapping[str, Tensor], judges: Judges) -> dict[str, dict[str, Tensor]]:
    """The inverse of `flat_state`."""
    if len(judges) == 1:
        return {next(iter(judges)): dict(flat)}
    states: dict[str, dict[str, Tensor]] = {}
    for path, value in flat.items():
        name, _, key = path.partition("/")
        states.setdefault(name, {})[key] = value
    return states
