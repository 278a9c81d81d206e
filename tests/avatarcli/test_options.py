import pytest

from avatarcli.options import assignments_of, gigabytes, preset, seconds
from pipelines.core.errors import SettingError


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("1.5m", 90), (None, None)]
)
def test_times(text: str | None, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "soon", "0s", "-5m", "10m5"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(SettingError, match="10m"):
        seconds(text)


@pytest.mark.parametrize(("text", "value"), [("12g", 12.0), ("1.5gb", 1.5), ("800m", 0.8), ("2GiB", 2.0), (None, None)])
def test_sizes(text: str | None, value: float | None) -> None:
    assert gigabytes(text) == value


@pytest.mark.parametrize("text", ["", "12", "much", "0g", "-5g", "12h"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(SettingError, match="12g or 800m"):
        gigabytes(text)


def test_only_given_flags_are_settings() -> None:
    assert assignments_of(torso="none", view=None, train__budget_s=3.0) == ["torso=none", "train.budget_s=3.0"]


def test_presets_are_named() -> None:
    assert preset({"quick": 1}, "quick") == 1
    with pytest.raises(SettingError, match="quick"):
        preset({"quick": 1}, "slow")
