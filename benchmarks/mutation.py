"""How many single faults do the tests notice? Random faults in random functions, judged by the tests that import the module.

    python benchmarks/mutation.py --count 60 [--seed 0] [--only pipelines/core] [--slow]

A fault swaps an operator, a comparison, a number or a truth value, or leaves a call out. It is written into a copy of the tree
in a temporary folder, never into the tree itself. It is caught where a test fails that passes without it. Prints a Markdown
table and writes the record.
"""

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.record import Run, options  # noqa: E402

PACKAGES = ("avatarcli", "pipelines", "models")
CACHE = ".cache-of-faults"
NOTHING_RAN = 5
"""Exit status of pytest that found no test."""
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Lt: ast.GtE, ast.GtE: ast.Lt,
    ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


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


def tests_of(module: Path, passed: frozenset[Path] = frozenset()) -> list[str]:
    """Test files that import a module, its mirror in tests/ first; without any, those of the modules that import it."""
    mirror = ROOT / "tests" / module.parent / f"test_{module.stem}.py"
    tests = {*importers(module, sorted((ROOT / "tests").rglob("test_*.py"))), *mirror.parent.glob(mirror.name)}
    if tests:
        return [str(path.relative_to(ROOT)) for path in sorted(tests, key=lambda path: (path != mirror, path))]
    passed |= {module}
    users = [path.relative_to(ROOT) for path in importers(module, sources())]
    return sorted({test for user in users if user not in passed for test in tests_of(user, passed)})


def importers(module: Path, files: Iterable[Path]) -> list[Path]:
    """The files that name a module in an import."""
    dotted = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    names = rf"from {re.escape(package)} import (?:\([^)]*|[^\n]*)\b{re.escape(name)}\b"
    pattern = re.compile(rf"\b{re.escape(dotted)}\b|{names}")
    return [path for path in files if pattern.search(path.read_text())]


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def judge(copy: Path, module: Path, number: int, words: argparse.Namespace) -> dict[str, Any]:
    """One fault in the copy: what it is, and whether a test noticed it."""
    source, tests = (ROOT / module).read_text(), tests_of(module)
    tree = ast.parse(source)
    node, what = list(faults(tree))[number]
    apply(node)
    row = {"place": f"{module}:{getattr(node, 'lineno', 0)}", "fault": what, "test_files": len(tests), "caught": False}
    if not tests:
        return row
    shutil.rmtree(copy / CACHE, ignore_errors=True)
    choice = [*tests, *(() if words.slow else ("-m", "not slow"))]
    try:
        (copy / module).write_text(ast.unparse(tree))
        failed = not passes(copy, choice, words.limit)
    finally:
        (copy / module).write_text(source)
    return row | {"caught": failed and passes(copy, [*choice, "--last-failed"], words.limit)}


def passes(copy: Path, choice: list[str], limit_s: float) -> bool:
    """Whether tests pass in the copy; those that do not end in time tell nothing and count as passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-o", f"cache_dir={CACHE}", *choice]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        code = subprocess.run(
            command, cwd=copy, env=env, capture_output=True, timeout=limit_s, stdin=subprocess.DEVNULL
        ).returncode
    except subprocess.TimeoutExpired:
        return True
    return code in (0, NOTHING_RAN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Beginning of the paths of modules.")
    parser.add_argument("--slow", action="store_true", help="Run the slow tests too.")
    parser.add_argument("--limit", type=float, default=900, help="Seconds for the tests of a fault.")
    options(parser)
    words = parser.parse_args()
    run, rows = Run.of("mutation", words), []
    modules = [path.relative_to(ROOT) for path in sources()]
    places = [(module, number) for module in modules if str(module).startswith(words.only)
              for number in range(len(list(faults(ast.parse((ROOT / module).read_text())))))]  # fmt: skip
    picked = random.Random(words.seed).sample(places, min(words.count, len(places)))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
        if (ROOT.parent / "shared").exists():
            (Path(folder) / "shared").symlink_to((ROOT.parent / "shared").resolve())
        print("| place | fault | test files | caught |\n|---|---|---|---|", flush=True)
        for module, number in picked:
            rows.append(judge(copy, module, number, words))
            print("| {place} | {fault} | {test_files} | {caught} |".format(**rows[-1]), flush=True)
    caught = sum(row["caught"] for row in rows)
    run.finish(
        {"caught": caught, "of": len(rows), "seed": words.seed, "faults": {str(n): row for n, row in enumerate(rows)}},
        headline={"faults caught": "caught", "of": "of"},
    )


if __name__ == "__main__":
    main()
