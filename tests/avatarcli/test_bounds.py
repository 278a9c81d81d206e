"""Every number among the settings has bounds, and what lies outside is refused before work begins."""

from typing import Any

import pytest

from avatarcli.bounds import insist_within
from avatarcli.settings import keys, resolve, value_of
from pipelines.capture import CaptureSettings
from pipelines.core.errors import SettingError
from pipelines.drive.motion.record_track import TakeSettings
from pipelines.drive.settings import DriveSettings
from pipelines.prior.people.shooting import SynthSettings
from pipelines.prior.train.supervised import SupervisedSettings
from pipelines.prior.train.training import PriorTrainSettings
from pipelines.train.continue_training import AddingSettings
from pipelines.train.settings import PRESETS, TrainSettings

ALL = [CaptureSettings(), *PRESETS.values(), DriveSettings(), TakeSettings(), AddingSettings(), PriorTrainSettings(),
       SupervisedSettings()]  # fmt: skip


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: f"{type(settings).__name__} {getattr(settings, 'preset', '')}")
def test_defaults_and_presets_lie_within(settings: Any) -> None:
    for key in keys(settings):
        insist_within(key, value_of(settings, key), key)


@pytest.mark.parametrize("key", [key for key in keys(TrainSettings) if isinstance(value_of(TrainSettings(), key), int | float)])
@pytest.mark.parametrize("value", ["inf", "-inf", "-3", "1e30"])
def test_no_number_is_infinite_negative_or_huge(key: str, value: str) -> None:
    if isinstance(value_of(TrainSettings(), key), bool):
        return
    with pytest.raises(SettingError, match=key):
        resolve(TrainSettings(), assignments=[f"{key}={value}"])


@pytest.mark.parametrize(
    "base, text",
    [
        (TrainSettings(), "finetune.steps=-1"), (TrainSettings(), "finetune.batch=0"), (TrainSettings(), "memory_gb=0.001"),
        (DriveSettings(), "track.chunk=0"), (DriveSettings(), "views.turn=inf"), (DriveSettings(), "retarget.mouth=inf"),
        (DriveSettings(), "track.longest_side_px=0"), (DriveSettings(), "size=-5"), (DriveSettings(), "views.turn_limit=inf"),
        (DriveSettings(), "track.head_signs=1,inf,1"), (DriveSettings(), "segment=0"), (SynthSettings(), "size=0"),
        (CaptureSettings(), "dataset.held_out=1.5"), (CaptureSettings(), "cameras.focal_range=0,inf"),
        (CaptureSettings(), "frames.sample_hz=0"),
    ],
)  # fmt: skip
def test_what_was_seen_to_fail_is_refused(base: Any, text: str) -> None:
    with pytest.raises(SettingError, match=text.partition("=")[0]):
        resolve(base, assignments=[text])
