from dataclasses import dataclass, field

import pytest

from avatarcli.settings import keys
from avatarcli.settings_reference import Chapter, _chapter, chapters, field_texts, reference
from tests.material import ROOT

PAGE = ROOT / "docs" / "settings.md"


@dataclass(frozen=True)
class Inner:
    """What is inside."""

    share: float = 0.5
    """A share a | b,
    over two lines."""


@dataclass(frozen=True)
class Outer:
    count: int | None = None
    """How many."""
    sizes: tuple[int, int] = (1, 2)
    inner: Inner = field(default_factory=Inner)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), "run: python -m avatarcli.settings_reference docs/settings.md"


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.command)
def test_every_setting_of_a_command_is_on_the_page(chapter: Chapter) -> None:
    part = PAGE.read_text().split(f"## `{chapter.command}`\n")[1].split("\n## ")[0]
    prefix = f"{chapter.group}." if chapter.group else ""
    assert {line.split("`")[1] for line in part.splitlines() if line.startswith("| `")} == {
        prefix + key for key in keys(chapter.base)
    }


def test_every_setting_says_what_it_does() -> None:
    assert [line for line in reference().splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_a_group_becomes_a_table_with_types_texts_and_the_defaults_of_presets() -> None:
    page = "\n".join(_chapter(Chapter("x", Outer(), {"large": Outer(count=3)})))
    assert "| `count` | `none`; large: `3` | a whole number or none; at least 1 | How many. |" in page
    assert "| `sizes` | `1,2` | 2 values separated by commas, each a whole number; at least 1 |  |" in page
    assert "### `inner`\n\nWhat is inside.\n" in page
    assert "| `inner.share` | `0.5` | a number; at least 0 | A share a \\| b, over two lines. |" in page


def test_texts_of_a_base_class_count_too() -> None:
    @dataclass(frozen=True)
    class Wider(Inner):
        more: int = 1
        """Of its own."""

    assert field_texts(Wider) == {"share": "A share a | b, over two lines.", "more": "Of its own."}
