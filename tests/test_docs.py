"""The pages say what is true: links lead somewhere, named files exist, and so do commands, options and settings."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from avatarcli.app import app
from avatarcli.settings import keys
from avatarcli.settings_reference import chapters
from tests.avatarcli.cli import environment
from tests.material import ROOT
from tests.tiny import write_tiny_avatar

GENERATED = {"settings.md", "RESULTS.md"}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), ROOT / "benchmarks/RESULTS.md"])
FILES = (".json", ".npz", ".py", ".png", ".md", ".toml", ".safetensors")
PLACES = re.compile(r"`((?:avatarcli|pipelines|models|tests|benchmarks|examples|docs)/[\w./-]*)`")
TOPS = ("pipelines", "models")
ROOMS = sorted(path.name for top in TOPS for path in (ROOT / top).iterdir() if path.is_dir() and "_" not in path.name)
ROOM_PLACES = re.compile(rf"`((?:{'|'.join(ROOMS)})/[\w./]*)`")
"""Places as a page names them that speaks of pipelines or models alone."""
LINKS = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
LINES = re.compile(r"(?:^|`|&& |-m )(avatarcli [^`\n#]+)", re.MULTILINE)
EVERYWHERE = {"--json", "--quiet", "--debug", "--help", "--version"}
SETTINGS = {f"{chapter.group}.{key}".strip(".") for chapter in chapters() for key in keys(chapter.base)}
GROUPS = {name.rpartition(".")[0] for name in SETTINGS}


def command_lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for line in LINES.findall(page.read_text().replace("\\\n", " ")):
            yield page.name, line.strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    lost = [link for link in LINKS.findall(text) if "://" not in link and not (page.parent / link).exists()]
    lost += [place for place in PLACES.findall(text) if not (ROOT / place).exists() and "mine" not in place]
    lost += [place for place in ROOM_PLACES.findall(text) if not any((ROOT / top / place).exists() for top in TOPS)]
    assert lost == []


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_commands_and_options_exist(page: str, line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if not word.startswith("…")]
    command = get_command(app)
    while words and (group := getattr(command, "commands", None)) is not None and words[0] not in EVERYWHERE:
        assert words[0] in group, f"there is no command {words[0]}"
        command, words = group[words[0]], words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | EVERYWHERE
    assert [word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word) and word not in known] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in GENERATED], ids=lambda path: path.name)
def test_settings_exist(page: Path) -> None:
    """`--set name=...`, and `group.name` or `group.name=...` in code."""
    text = page.read_text()
    named = re.findall(r"--set\s+([\w.]+)=", text)
    dotted = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", text)
    named += [name for name in dotted if name.rpartition(".")[0] in GROUPS and not name.endswith(FILES)]
    assert [name for name in named if not _is_setting(name)] == []


def _is_setting(name: str) -> bool:
    """A full name, one behind its stage, or the last part alone as `run` takes it."""
    stage, _, rest = name.partition(".")
    return name in SETTINGS or (stage in ("capture", "train", "drive") and rest in SETTINGS)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_code_that_shows_an_avatar_runs(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    folders = {block: re.findall(r'"([\w/]+\.avatar)"', block) for block in blocks if "capture(" not in block}
    for name in {name for names in folders.values() for name in names}:
        write_tiny_avatar(tmp_path / name)
    code = "\n".join(folders)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert folders and done.returncode == 0, done.stderr


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 5000
    assert (ROOT / "docs" / "strip.jpg").stat().st_size <= 200_000
