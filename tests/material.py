"""Test material beside the repository that is not part of it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "avatarcli" / "demo_clips" / "capture.mp4"
SHARED = ROOT.parent / "shared"


def shared(relative: str) -> Path:
    """A file of `../shared`; the test is skipped where it is not there."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"needs ../shared/{relative}, which is not part of the repository")
    return path
