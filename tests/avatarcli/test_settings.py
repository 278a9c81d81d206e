from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from avatarcli.settings import keys, resolve, with_prefixes
from pipelines.capture import CaptureSettings
from pipelines.core.errors import SettingError
from pipelines.drive.settings import DriveSettings
from pipelines.train.settings import TrainSettings


class Mode(Enum):
    fast = "quickly"
    slow = "slowly"


@dataclass(frozen=True, kw_only=True)
class Inner:
    steps: int | None = None
    gamma: float = 5.0
    latents: Literal["fitted", "sampled"] = "fitted"

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ValueError("gamma must not be negative")


@dataclass(frozen=True, kw_only=True)
class Outer:
    seed: int = 0
    name: str = "quick"
    flip: bool = False
    size: tuple[int, int] = (1, 2)
    scales: tuple[float, ...] = ()
    mode: Mode = Mode.fast
    where: Path | None = None
    finetune: Inner = field(default_factory=Inner)
    extra: Inner | None = None


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("name=a=b", "name", "a=b"),
        ("flip=yes", "flip", True),
        ("size=3,4", "size", (3, 4)),
        ("size=(3, 4)", "size", (3, 4)),
        ("scales=0.5,1e-3", "scales", (0.5, 1e-3)),
        ("scales=", "scales", ()),
        ("mode=slowly", "mode", Mode.slow),
        ("mode=slow", "mode", Mode.slow),
        ("where=a/b.png", "where", Path("a/b.png")),
        ("where=none", "where", None),
    ],
)
def test_texts_become_values_of_the_fields_type(text: str, key: str, value: object) -> None:
    assert getattr(resolve(Outer(), assignments=[text]), key) == value


def test_nested_values_and_the_last_word_wins() -> None:
    settings = resolve(
        Outer(), assignments=["finetune.steps=5", "finetune.steps=9", "finetune.latents=sampled", "extra.gamma=2"]
    )
    assert settings.finetune == Inner(steps=9, latents="sampled")
    assert settings.extra == Inner(gamma=2.0)
    assert resolve(settings, assignments=["finetune.steps=none", "extra=none"]) == Outer(finetune=Inner(latents="sampled"))


def test_the_base_is_not_changed() -> None:
    base = Outer()
    resolve(base, assignments=["seed=1"])
    assert base.seed == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("finetune.stpes=5", "finetune.steps"),
        ("steps=5", "finetune.steps"),
        ("sed=5", "did you mean seed"),
        ("sed=5", r"seed\?$"),
        ("zzz=1", r"the settings are seed, name, flip, size, scales, mode, where, finetune\.\*, extra\.\*\.$"),
        ("seed=1.5", "a whole number"),
        ("seed=true", "a whole number"),
        ("finetune.gamma=much", "a number"),
        ("finetune.gamma=nan", "a number"),
        ("finetune.gamma=true", "a number"),
        ("finetune.gamma=-1", "must not be negative"),
        ("finetune.steps=x", "a whole number or none"),
        ("finetune.latents=foo", "one of fitted, sampled"),
        ("size=1,2,3", "2 values separated by commas"),
        ("finetune=3", "finetune.steps"),
        ("seed.x=3", "has no parts"),
        ("mode=never", "one of quickly, slowly"),
        ("seed", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        resolve(Outer(), assignments=[text])


@pytest.mark.parametrize("base", [CaptureSettings(), TrainSettings(), DriveSettings()])
def test_a_setting_that_is_gone_or_another_stage_has_is_named_by_every_stage(base: object) -> None:
    for key in ("dataset.neck_full_units", "opinions.samples"):
        with pytest.raises(SettingError, match=f"'{key}' is gone; (mattes are cut|use landmark_agreement)"):
            resolve(base, assignments=[f"{key}=1"])
    for key, owner in (("dataset.held_out", "capture"), ("finetune.steps", "train"), ("retarget.mouth", "drive")):
        if not isinstance(base, {"capture": CaptureSettings, "train": TrainSettings, "drive": DriveSettings}[owner]):
            with pytest.raises(SettingError, match=f"there is no setting '{key}'; `{owner}` has it"):
                resolve(base, assignments=[f"{key}=1"])


def test_file_then_assignments(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("seed = 3\nsize = [5, 6]\n[finetune]\nsteps = 10\ngamma = 1\n")
    settings = resolve(Outer(), file=file, assignments=["seed=4"])
    assert settings == Outer(seed=4, size=(5, 6), finetune=Inner(steps=10, gamma=1.0))


def test_a_file_of_stages_gives_each_its_own(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[train]\nseed = 3\n[drive]\nview = 'orbit'\n")
    assert resolve(Outer(), file=file, stage="train").seed == 3
    assert resolve(Outer(), file=file, stage="capture").seed == 0


@pytest.mark.parametrize("content", ["seed = = 3", "sed = 3"])
def test_bad_files_are_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(content)
    with pytest.raises(SettingError, match="x.toml"):
        resolve(Outer(), file=file)
    with pytest.raises(SettingError, match="does not exist"):
        resolve(Outer(), file=tmp_path / "none.toml")


@dataclass(frozen=True, kw_only=True)
class Both:
    first: Inner = field(default_factory=Inner)
    second: Outer = field(default_factory=Outer)


def test_the_group_may_be_left_out_and_a_key_of_several_groups_is_set_in_each() -> None:
    assert with_prefixes(Both(), ["finetune.steps=3", "first.steps=1", "gamma=2", "unknown=1"]) == [
        "second.finetune.steps=3",
        "first.steps=1",
        "first.gamma=2",
        "unknown=1",
    ]


def test_keys_are_dotted() -> None:
    assert list(keys(Both))[:4] == ["first.steps", "first.gamma", "first.latents", "second.seed"]


def test_a_setting_without_its_stage_is_meant_for_all_that_have_it() -> None:
    from pipelines.run import RunSettings

    assert with_prefixes(RunSettings(), ["prior=mine.prior"]) == ["train.prior=mine.prior"]
    assert with_prefixes(RunSettings(), ["seed=3"])[:2] == ["capture.seed=3", "train.seed=3"]
