"""Light as spherical harmonics, against integrals over the sphere."""

import numpy as np
import pytest

from pipelines.prior.people.scene import draw_light, harmonics, light_label
from pipelines.prior.people.shading import _roughen, irradiance
from pipelines.prior.people.surfaces import Look


def sphere(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions [K,3] and the solid angles [K] they stand for, exact for polynomials."""
    height, weight = np.polynomial.legendre.leggauss(count)
    around = 2 * np.pi * np.arange(2 * count) / (2 * count)
    z, angle = (part.ravel() for part in np.meshgrid(height, around, indexing="ij"))
    ring = np.sqrt(1 - z**2)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], 1), np.repeat(weight, 2 * count) * np.pi / count


def test_the_harmonics_are_orthonormal() -> None:
    directions, angles = sphere()
    values = np.stack([harmonics(direction) for direction in directions])
    assert values.T @ (values * angles[:, None]) == pytest.approx(np.eye(9), abs=1e-5)
    assert harmonics(np.array([1.0, 2.0, 2.0]) / 3)[1:4] == pytest.approx(np.array([2, 2, 1]) / 3 * 0.488603), "y, z, x"


def test_light_that_falls_on_a_surface_is_the_sky_times_the_cosine() -> None:
    directions, angles = sphere()
    sky = np.random.default_rng(0).normal(size=(9, 3))
    seen = np.stack([harmonics(direction) for direction in directions]) @ sky
    for normal in np.random.default_rng(1).normal(size=(5, 3)):
        normal /= np.linalg.norm(normal)
        expected = (seen * (angles * np.maximum(directions @ normal, 0))[:, None]).sum(0)
        x, y, z = normal.tolist()
        assert [irradiance(x, y, z, sky, c) for c in range(3)] == pytest.approx(expected, abs=5e-3)


def test_a_label_of_light_is_the_sky_and_the_lamps() -> None:
    lamps = draw_light(np.random.default_rng(2))
    assert np.linalg.norm(lamps.directions, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    label = lamps.ambient + sum(
        np.outer(harmonics(direction), color) for direction, color in zip(lamps.directions, lamps.colors, strict=True)
    )
    assert light_label(lamps) == pytest.approx(label, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_relief_turns_a_normal_across_itself(seed: int) -> None:
    """What is taken off a normal is the slope's part across it: its length stays, to first order."""
    random = np.random.default_rng(seed)
    normal = random.normal(size=3)
    normal /= np.linalg.norm(normal)
    none = np.zeros((1, 1, 1))
    look = Look(
        face=none, scalp=none, eyes=none[0], gaze=none[0], iris=none[0, 0], cloth=none, relief=1e-3,
        grain=random.normal(size=(64, 64, 64)),
    )  # fmt: skip
    turned = normal.copy()
    _roughen(turned, random.normal(size=3), look)
    assert np.linalg.norm(turned - normal) > 1e-6 and (turned - normal) @ normal == pytest.approx(0, abs=1e-7)
