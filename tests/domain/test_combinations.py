"""Nested combinations of planar domains against membership, point by point."""

import numpy as np
import pytest

from pdes.domain import Disk, Polygon, Rectangle
from tests.domain.test_meshing import check


def primitive(random):
    center = np.round(random.uniform(-1, 1, 2) * 4) / 4
    kind = random.integers(3)
    if kind == 0:
        half = np.ceil(random.uniform(0.3, 1.2, 2) * 4) / 8
        return Rectangle(center - half, center + half)
    if kind == 1:
        return Disk(center, random.choice([0.25, 0.5, 0.65]))
    angle = np.sort(random.uniform(0, 2 * np.pi, 5)) + 0.01 * np.arange(5)
    reach = random.uniform(0.4, 0.9, (5, 1))
    return Polygon(center + reach * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def combination(random, depth):
    if depth == 0:
        return primitive(random)
    first = combination(random, depth - 1)
    second = combination(random, int(random.integers(depth)))
    operation = random.integers(3)
    return (
        first | second if operation == 0 else first - second if operation == 1 else first & second
    )


def draw(seed):
    random = np.random.default_rng(seed)
    while True:
        try:
            return combination(random, int(random.integers(1, 4)))
        except ValueError as error:
            # Most intersections of small shapes are empty; some polygons have no area.
            if "nothing is left" not in str(error):
                raise


@pytest.mark.parametrize("seed", range(30))
def test_boundary_and_membership_agree(seed):
    domain = draw(seed)
    low, high = domain.bounds
    side = 300
    axes = [a + (b - a) * (np.arange(side) + 0.5) / side for a, b in zip(low, high, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    counted = domain.contains(x).mean() * np.prod(high - low)
    perimeter = sum(c.length for c in domain.curves)
    # A grid is wrong in cells that the boundary crosses at most.
    assert abs(counted - domain.volume) < 0.5 * perimeter * (high - low).max() / side
    # Closed: the curves' tangents add up to nothing.
    ends = [c.point(np.array([0.0, 1.0])) for c in domain.curves]
    assert np.abs(sum(b - a for a, b in ends)).max() < 1e-9
    sample = domain.sample_boundary(300)
    inside = domain.contains(sample.points - 1e-6 * sample.normals)
    outside = domain.contains(sample.points + 1e-6 * sample.normals, 0.0)
    assert inside.mean() > 0.99 and outside.mean() < 0.01


@pytest.mark.parametrize("seed", range(0, 30, 3))
def test_meshes_of_combinations(seed):
    domain = draw(seed)
    mesh = domain.mesh(cells=12)
    check(mesh)
    assert mesh.boundary_names == domain.boundary_names
    assert mesh.volume == pytest.approx(domain.volume, rel=0.03)


def test_coinciding_boundaries():
    right = Rectangle((0.0, -2.0), (2.0, 2.0))
    whole = (Disk() - right) | (Disk() & right)
    assert whole.volume == pytest.approx(np.pi, rel=1e-12)
    assert sum(c.length for c in whole.curves) == pytest.approx(2 * np.pi, rel=1e-12)
    same = Disk() | Disk()
    assert same.volume == pytest.approx(np.pi, rel=1e-12)
    assert (Rectangle() & Rectangle()).volume == pytest.approx(1.0, rel=1e-12)
    strip = Rectangle() - Rectangle((0.0, 0.0), (0.5, 1.0))
    assert strip.volume == pytest.approx(0.5, rel=1e-12)
    assert strip.boundary_names == ("bottom", "right", "top")


def test_shapes_that_touch_in_a_point_have_no_mesh():
    with pytest.raises(ValueError, match="could not follow the boundary"):
        (Rectangle((-0.25, -0.625), (0.75, 0.125)) | Disk((-0.75, 0.0), 0.5)).mesh(size=0.1)
