"""Heads that are turned too far to be read, by the real tracker."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.drive.motion.track import READABLE, track_video, trust
from pipelines.drive.settings import TrackSettings
from pipelines.media.encoder import write_video
from pipelines.media.video import probe
from tests.material import shared
from tests.worlds_scan import draw, load_head, looking_at


def test_a_real_profile_is_refused_and_a_turned_head_is_not(tmp_path: Path):
    head = load_head(shared("scans/lee_perry_smith"))
    looks = [looking_at(yaw, 2, 11.5, np.zeros(3)) for yaw in (62, 66, 70, 26, 30, 34)]
    images = [draw(head, look, 450.0, (270, 360), []).clip(0, 255).astype(np.uint8) for look in looks]
    for name, shown in (("profile", images[:3]), ("turned", images[3:])):
        write_video(tmp_path / f"{name}.mp4", iter(shown * 4), Fraction(10))
    canonical = np.array(load_prior("quick").landmarks)
    settings, silent = TrackSettings(), Silent()
    with pytest.raises(UnusableMaterial, match="turned away by 4. degrees"):
        track_video(probe(tmp_path / "profile.mp4"), "measured", canonical, settings, tmp_path / "a", silent)
    found = track_video(probe(tmp_path / "turned.mp4"), "measured", canonical, settings, tmp_path / "b", silent)
    assert (found.confidence > READABLE).all()


def test_trust_ends_where_the_turn_is_too_large():
    poses = np.stack([looking_at(yaw, 0, 3.0, np.zeros(3)) for yaw in (0.0, 25.0, 42.0, 48.0)])
    assert trust(poses, np.zeros(4), 42.0) == pytest.approx([1.0, 1.0, READABLE, 0.0], abs=1e-6)
