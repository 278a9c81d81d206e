"""Test material beside the repository that is not part of it.

In CI nothing that ../shared serves is skipped: where the folder is there (or `AVATARCLI_SHARED` names one), a file that is
missing fails the test.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "avatarcli" / "demo_clips" / "capture.mp4"
SHARED = Path(os.environ.get("AVATARCLI_SHARED", ROOT.parent / "shared"))


def shared(relative: str) -> Path:
    """A file of `../shared`; where it is missing the test is skipped, or fails in CI."""
    path = SHARED / relative
    if not path.exists():
        missing = f"needs {path}, which is not part of the repository"
        if os.environ.get("CI") == "true" and (SHARED.exists() or "AVATARCLI_SHARED" in os.environ):
            pytest.fail(missing)
        pytest.skip(missing)
    return path
