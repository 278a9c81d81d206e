"""The program: `avatarcli`, or `python -m avatarcli`.

`models` and `pipelines` are common names. Where Python finds another project's package under one of them, nothing of ours
works, so that is checked first, without importing either.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
"""Where the three packages lie side by side."""


def foreign_packages() -> dict[str, str]:
    """Packages under our names that are not ours, and the folders they lie in."""
    return {name: str(folder) for name in ("models", "pipelines") if (folder := folder_of(name)) != HOME / name}


def folder_of(name: str) -> Path | None:
    """Where Python finds a package, without importing it."""
    spec = find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]).resolve() if places else None


def main() -> None:
    """Run the command line; exit with code 3 when a foreign package is in the way."""
    foreign = foreign_packages()
    if foreign:
        places = " and ".join(f"`{name}` is {place}" for name, place in foreign.items())
        sys.stderr.write(
            f"error: another project's package hides avatarcli's: {places}, and should be in {HOME}. "
            "Start avatarcli from another folder, or install it into a virtual environment of its own.\n"
        )
        raise SystemExit(3)
    from avatarcli.app import main as run

    run()


if __name__ == "__main__":
    main()
