"""Fit the matrix that turns another tracker's coefficients (FLAME, BFM, ...) into expressions an avatar listens to.

    avatarcli track me.mp4 -o me.track
    python examples/fit_adapter.py me_flame.npz me.track flame.adapter.npz
    avatarcli drive anna.avatar --video take_flame.npz --set track.adapter=flame.adapter.npz -o out.mp4

Both files read the same footage: row i of every array in the .npz is the frame at i / fps. Some minutes with many different
expressions make a good adapter; one fits all later takes of that tracker.
"""

import sys
from pathlib import Path

from pipelines.drive.motion.coefficients import fit_adapter, read_coefficients, save_adapter, stated_rate
from pipelines.face.track import load_track


def fit(coefficients: Path, track: Path, out: Path) -> dict[str, float]:
    """Writes the adapter; the share of every channel's variance that it explains on frames it was not fitted to."""
    values, motion = read_coefficients(coefficients), load_track(track)
    adapter, explained = fit_adapter(values, motion, stated_rate(values) or motion.rate_hz)
    save_adapter(out, adapter)
    return dict(zip(adapter.names, explained.tolist(), strict=True))


if __name__ == "__main__":
    for name, share in fit(*map(Path, sys.argv[1:])).items():
        print(f"{name:22} {share:6.2f}")
