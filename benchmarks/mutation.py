"""How many single faults do the tests notice? Random faults in random functions, judged by the tests that import the module.

    python benchmarks/mutation.py --count 60 [--seed 0] [--only pipelines/core] [--slow] [--journal faults.jsonl]

A fault swaps an operator, a comparison, a number or a truth value, or leaves a call out. It is written into a copy of the tree
in a temporary folder, never into the tree itself. It is caught where a test fails, or does not end, that passes without it.
Which faults are picked follows from what they are, so that a change elsewhere in the tree picks the same ones again.
Faults in the journal are not judged again; take lines out of it to do so. Prints a Markdown table and writes the record.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.record import Run, options  # noqa: E402

PACKAGES = ("avatarcli", "pipelines", "models")
CACHE = ".cache-of-faults"
QUICK, ALL = ("-m", "not slow"), ("-m", "slow")
TRIES = 3
NOTHING_RAN = 5
"""Exit status of pytest that found no test."""
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.GtE, ast.GtE: ast.Lt,
    ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One place of a module that can be made wrong."""

    module: Path
    """From the tree's root."""
    number: int
    """Among the faults of the module as it is now."""
    line: int
    what: str
    key: str
    """Stays the same while the expression and its function do."""


def faults(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Nodes inside functions that can be made wrong, and what is done to them."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        for statement in function.body:
            for node in ast.walk(statement):
                if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
                    yield node, f"{type(node.op).__name__} -> {SWAPS[type(node.op)].__name__}"
                elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
                    yield node, f"{type(node.ops[0]).__name__} -> {SWAPS[type(node.ops[0])].__name__}"
                elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
                    yield node, f"{node.value} -> {wrong(node.value)}"
                elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                    yield node, "a call left out"


def wrong(value: float) -> float:
    return (not value) if isinstance(value, bool) else value + 1


def apply(node: ast.AST) -> None:
    """Make the fault in the tree."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.Constant):
        assert isinstance(node.value, bool | int | float)
        node.value = wrong(node.value)
    elif isinstance(node, ast.Expr):
        node.value = ast.Constant(value=None)


def faults_of(root: Path, module: Path, seed: int) -> Iterator[Fault]:
    """All faults of a module of the tree."""
    times: Counter[str] = Counter()
    for number, (node, what) in enumerate(faults(ast.parse((root / module).read_text()))):
        text = f"{module} {ast.unparse(node)} {what}"
        times[text] += 1
        key = hashlib.sha256(f"{seed} {text} {times[text]}".encode()).hexdigest()[:16]
        yield Fault(module=module, number=number, line=getattr(node, "lineno", 0), what=what, key=key)


def tests_of(root: Path, module: Path, passed: frozenset[Path] = frozenset()) -> list[str]:
    """Test files that import a module, its mirror in tests/ first, then those of its package; else those of its users."""
    mirror = root / "tests" / module.parent / f"test_{module.stem}.py"
    tests = {*importers(module, (root / "tests").rglob("test_*.py")), *mirror.parent.glob("test_*.py")}
    if tests:
        first = sorted(tests, key=lambda path: (path != mirror, path.parent == mirror.parent, path.stat().st_size))
        return [str(path.relative_to(root)) for path in first]
    passed |= {module}
    users = [path.relative_to(root) for path in importers(module, sources(root))]
    found = {test for user in users if user not in passed for test in tests_of(root, user, passed)}
    return sorted(found, key=lambda test: ((root / test).stat().st_size, test))


def importers(module: Path, files: Iterable[Path]) -> list[Path]:
    """The files that name a module in an import."""
    dotted = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    names = rf"from {re.escape(package)} import (?:\([^)]*|[^\n]*)\b{re.escape(name)}\b"
    pattern = re.compile(rf"\b{re.escape(dotted)}\b|{names}")
    return [path for path in files if pattern.search(path.read_text())]


def sources(root: Path) -> list[Path]:
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def judge(copy: Path, fault: Fault, words: argparse.Namespace) -> dict[str, Any]:
    """One fault in the copy: what it is, and whether a test noticed it."""
    path, tests = copy / fault.module, tests_of(copy, fault.module)
    source, started = path.read_text(), time.perf_counter()
    tree = ast.parse(source)
    whole = ast.unparse(tree)
    apply(list(faults(tree))[fault.number][0])
    try:
        noticed = bool(tests) and any(
            notices(copy, path, (ast.unparse(tree), whole), [*tests, *choice], words.limit)
            for choice in ((QUICK, ALL) if words.slow else (QUICK,))
        )
    finally:
        write(path, source)
    seconds = round(time.perf_counter() - started, 1)
    place = f"{fault.module}:{fault.line}"
    return {"key": fault.key, "place": place, "fault": fault.what, "test_files": len(tests), "s": seconds, "caught": noticed}


def notices(copy: Path, path: Path, texts: tuple[str, str], choice: list[str], limit_s: float) -> bool:
    """Whether tests fail, or do not end, with the first text of a module and pass with the second one.

    Tests that fail with both are left out, and the others are tried again.
    """
    wrong, right = texts
    for _ in range(TRIES):
        shutil.rmtree(copy / CACHE, ignore_errors=True)
        write(path, wrong)
        code = ran(copy, choice, limit_s)
        if code in (0, NOTHING_RAN):
            return False
        write(path, right)
        if ran(copy, choice if code is None else [*choice, "--last-failed"], limit_s / 2) == 0:
            return True
        known = copy / CACHE / "v" / "cache" / "lastfailed"
        choice = [*choice, *(f"--deselect={name}" for name in (json.loads(known.read_text()) if known.exists() else ()))]
    return False


def write(path: Path, text: str) -> None:
    """The text with another time of change than any before, by which Python knows that its compiled form is stale."""
    before = path.stat().st_mtime
    path.write_text(text)
    os.utime(path, (before + 2, before + 2))


def ran(copy: Path, choice: list[str], limit_s: float) -> int | None:
    """Exit status of the tests in the copy; None where they do not end in time."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"cache_dir={CACHE}", *choice]
    try:
        return subprocess.run(command, cwd=copy, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return None


def copy_of_tree(folder: Path) -> Path:
    """A copy that faults may be written into, beside whatever lies beside the tree for its tests."""
    copy = folder / "tree"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Beginning of the paths of modules.")
    parser.add_argument("--slow", action="store_true", help="Run the slow tests too, after the others.")
    parser.add_argument("--limit", type=float, default=400, help="Seconds for the tests of a fault.")
    parser.add_argument("--journal", type=Path, help="File that keeps each judged fault, one JSON object a line.")
    options(parser)
    words = parser.parse_args()
    run, rows = Run.of("mutation", words), []
    known = {row["key"]: row for row in map(json.loads, words.journal.read_text().splitlines())} if (
        words.journal and words.journal.exists()) else {}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_of_tree(Path(folder))
        modules = [module for path in sources(copy) if str(module := path.relative_to(copy)).startswith(words.only)]
        every = sorted(
            (fault for module in modules for fault in faults_of(copy, module, words.seed)), key=lambda fault: fault.key
        )
        print("| place | fault | test files | s | caught |\n|---|---|---|---|---|", flush=True)
        for fault in every[: words.count]:
            row = known.get(fault.key) or judge(copy, fault, words)
            rows.append(row)
            print("| {place} | {fault} | {test_files} | {s} | {caught} |".format(**row), flush=True)
            if words.journal and fault.key not in known:
                with words.journal.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
    caught = sum(row["caught"] for row in rows)
    run.finish(
        {"caught": caught, "of": len(rows), "seed": words.seed, "faults": {str(n): row for n, row in enumerate(rows)}},
        headline={"faults caught": "caught", "of": "of"},
    )


if __name__ == "__main__":
    main()
