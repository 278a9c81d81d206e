"""Import every module of the installed packages; exit code 1 and a line for each that needs more than is in minimal.txt."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

PACKAGES = ("models", "pipelines", "avatarcli")
NEED_NUMBA = ("pipelines.prior.people.", "models.heads.nearest_face_search")
"""Compiled when they are imported: synthetic people, by `prior synth` alone, and the search for faces, when a body is posed."""


def modules() -> Iterator[str]:
    for name in PACKAGES:
        found = pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}.")
        yield from (module.name for module in found if not module.name.endswith(".__main__"))


def failures() -> Iterator[str]:
    for name in modules():
        if not name.startswith(NEED_NUMBA):
            try:
                importlib.import_module(name)
            except ImportError as error:
                yield f"{name}: {error}"


if __name__ == "__main__":
    broken = list(failures())
    sys.stderr.write("".join(f"{line}\n" for line in broken))
    sys.exit(bool(broken))
