"""Samples of the interior and the boundary: inside, even, with outward normals and names."""

import numpy as np
import pytest

from pdes.domain import Ball, Disk, Interval, LShape, MeshDomain, Polygon, Rectangle
from tests.domain._shapes import ALL, CHANNEL, PLANAR, SOLID

SCHEMES = ("sobol", "uniform", "grid")


@pytest.mark.parametrize("name", ALL)
def test_volume(name):
    domain, volume, _ = ALL[name]
    sampled = name in ("hollow", "octant")
    assert domain.volume == pytest.approx(volume, rel=5e-4 if sampled else 1e-12)


@pytest.mark.parametrize("name", ALL)
def test_boundary_weights_add_up_to_the_measure(name):
    domain, _, measure = ALL[name]
    sample = domain.sample_boundary(999)
    sampled = name in ("hollow", "octant", "joined boxes")
    assert sample.weights.sum() == pytest.approx(measure, rel=2e-2 if sampled else 1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ALL)
def test_points_lie_where_they_should(name, scheme):
    domain = ALL[name][0]
    interior = domain.sample_interior(777, seed=3, scheme=scheme)
    assert interior.shape == (777, domain.dim)
    assert domain.contains(interior).all()
    sample = domain.sample_boundary(777, seed=3, scheme=scheme)
    assert sample.points.shape == sample.normals.shape == (777, domain.dim)
    assert domain.contains(sample.points, 1e-9).all()
    np.testing.assert_allclose(np.linalg.norm(sample.normals, axis=1), 1.0, rtol=1e-12)
    step = 1e-5
    assert domain.contains(sample.points - step * sample.normals, 1e-12).mean() > 0.99
    assert domain.contains(sample.points + step * sample.normals, 0.0).mean() < 0.01


@pytest.mark.parametrize("name", ALL)
def test_divergence_theorem(name):
    # ∮ x·n = dim · volume
    domain, volume, _ = ALL[name]
    sample = domain.sample_boundary(20_000)
    moment = np.sum(sample.points * sample.normals, axis=1) @ sample.weights
    assert moment == pytest.approx(domain.dim * volume, rel=5e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_boundary_is_divided_among_its_parts(name):
    domain, _, measure = ALL[name]
    total = 0.0
    for number, part in enumerate(domain.boundary_names):
        sample = domain.sample_boundary(500, part=part)
        assert len(sample.points) == 500
        assert (sample.parts == number).all()
        total += sample.weights.sum()
    assert total == pytest.approx(measure, rel=3e-2 if domain.dim == 3 else 1e-9)
    whole = domain.sample_boundary(2000)
    assert set(whole.parts.tolist()) == set(range(len(domain.boundary_names)))


@pytest.mark.parametrize("name", [*PLANAR, *SOLID])
def test_interior_points_are_even(name):
    # First and second moments of the uniform density against a fine grid of the bounding box.
    domain = ALL[name][0]
    low, high = domain.bounds
    side = 400 if domain.dim == 2 else 60
    axes = [a + (b - a) * (np.arange(side) + 0.5) / side for a, b in zip(low, high, strict=True)]
    fine = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, domain.dim)
    fine = fine[domain.contains(fine, 0.0)]
    x = domain.sample_interior(8192)
    extent = float((high - low).max())
    np.testing.assert_allclose(x.mean(axis=0), fine.mean(axis=0), atol=5e-3 * extent)
    np.testing.assert_allclose((x**2).mean(axis=0), (fine**2).mean(axis=0), atol=1e-2 * extent**2)


def test_the_same_seed_gives_the_same_points():
    for domain in (CHANNEL, Ball(), MeshDomain(Disk().mesh(size=0.3))):
        first = domain.sample_interior(100, seed=5)
        np.testing.assert_array_equal(first, domain.sample_interior(100, seed=5))
        assert np.abs(first - domain.sample_interior(100, seed=6)).max() > 1e-3


def test_names_kept_in_combinations():
    assert CHANNEL.boundary_names == ("bottom", "right", "top", "left", "cylinder")
    cylinder = CHANNEL.sample_boundary(64, part="cylinder")
    radial = (cylinder.points - [0.2, 0.2]) / 0.05
    np.testing.assert_allclose(cylinder.normals, -radial, atol=1e-9)


def test_named_parts_are_cut_exactly():
    domain = Disk().name("left", lambda x: x[0] < -0.5)
    assert set(domain.boundary_names) == {"boundary", "left"}
    sample = domain.sample_boundary(100, part="left")
    assert sample.weights.sum() == pytest.approx(2 * np.pi / 3, rel=1e-12)
    assert (sample.points[:, 0] <= -0.5 + 1e-12).all()
    # Renaming all of it leaves no part without points.
    assert domain.name("rim", lambda x: True).boundary_names == ("rim",)
    hole = Rectangle() - Disk((0.5, 0.5), 0.2).name("hole", lambda x: True)
    assert hole.boundary_names == ("bottom", "right", "top", "left", "hole")
    inlet = (Rectangle() - Disk((0.5, 0.5), 0.2)).name(
        "inlet", lambda x: x[0] < 1e-9 and 0.25 < x[1] < 0.75
    )
    length = inlet.sample_boundary(10, part="inlet").weights.sum()
    assert length == pytest.approx(0.5, rel=1e-9)


def test_named_part_of_a_sphere():
    domain = Ball().name("cap", lambda x: x[2] > 0.5)
    assert domain.boundary_names == ("boundary", "cap")
    sample = domain.sample_boundary(200, part="cap")
    assert (sample.points[:, 2] > 0.5).all()
    assert sample.weights.sum() == pytest.approx(np.pi, rel=1e-2)


def test_corners_of_polygons():
    np.testing.assert_array_equal(LShape().reentrant_corners, [[0.0, 0.0]])
    assert len(Polygon([(0, 0), (1, 0), (0, 1)]).reentrant_corners) == 0
    # Clockwise vertices keep the numbers of their edges.
    clockwise = Polygon([(0, 0), (0, 1), (2, 0)])
    edge = clockwise.sample_boundary(20, part="edge0")
    np.testing.assert_allclose(edge.points[:, 0], 0.0, atol=1e-15)
    np.testing.assert_allclose(edge.normals, [[-1.0, 0.0]] * 20)


@pytest.mark.parametrize("name", PLANAR)
def test_grid_points_are_about_as_many_as_asked_for(name):
    domain = PLANAR[name][0]
    grid = domain.grid(2000)
    assert domain.contains(grid, 1e-9).all()
    assert 1200 < len(grid) < 3000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Disk((0, 0), -1.0), "positive radius"),
        (lambda: Disk((0, 0, 0), 1.0), "2 finite numbers"),
        (lambda: Ball((0, 0, np.nan)), "3 finite numbers"),
        (lambda: Polygon([(0, 0), (1, 1)]), "three vertices"),
        (lambda: Polygon([(0, 0), (1, 0), (1, 0), (0, 1)]), "vertices 1 and 2 are the same"),
        (lambda: Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "edge0 and edge2 cross"),
        (lambda: Polygon([(0, 0), (1, 0), (2, 0)]), "vertex 2 lies on|vertex 1 lies on"),
        (lambda: Polygon([(0, 0), (2, 0), (2, 2), (1, 0), (0, 2)]), "vertex 3 lies on edge0"),
        (lambda: Polygon([(0, 0), (1, 0), (np.inf, 1)]), "finite"),
        (lambda: Disk() - Disk((0, 0), 2.0), "nothing is left"),
        (lambda: Disk() & Disk((3, 0), 1.0), "nothing is left"),
        (lambda: Disk() | Ball(), "one dimension"),
        (lambda: Rectangle(periodic=True) - Disk((0.5, 0.5), 0.1), "periodic"),
        (lambda: Interval(0, 1) | Interval(1, 2), "rectangles, disks"),
        (lambda: Disk().name("all", lambda x: True), "whole boundary"),
        (lambda: Disk().sample_boundary(5, part="rim"), "no boundary 'rim'"),
        (lambda: Disk().sample_interior(0), "positive"),
        (lambda: Disk().sample_interior(5, scheme="random"), "unknown sampling scheme"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()
