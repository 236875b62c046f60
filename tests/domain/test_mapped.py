"""Meshes moved by maps and joined from blocks: measures, names, sides that do not fit."""

import numpy as np
import pytest

from pdes.domain import Disk, Interval, Rectangle, joined_mesh, mapped_mesh


def sector(a, b, cells=4):
    """A half of the ring of radii 1 and 2, from angle a to b, of curved quadrilaterals."""

    def place(x):
        angle = a + (b - a) * x[:, 1]
        return (1 + x[:, :1]) * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    return mapped_mesh(Rectangle().mesh(cells, "quadrilateral"), place, curved=True)


def test_a_graded_interval_keeps_its_ends_and_names():
    mesh = mapped_mesh(Interval(0.0, 1.0).mesh(5), lambda x: x**2)
    np.testing.assert_allclose(np.sort(mesh.points[:, 0]), (np.arange(6) / 5) ** 2)
    assert mesh.boundary_names == ("left", "right")


def test_curved_cells_follow_the_map_to_fourth_order():
    errors = [abs(sector(0.0, np.pi, n).volume - 1.5 * np.pi) for n in (4, 8)]
    assert np.log2(errors[0] / errors[1]) > 3.9


def test_blocks_join_into_a_ring():
    halves = [sector(0.0, np.pi), sector(np.pi, 2 * np.pi)]
    ring = joined_mesh(halves, Disk((0, 0), 2.0, boundary="outer") - Disk((0, 0), 1.0, "inner"))
    assert len(ring.points) == 5 * 8 and len(ring.cells) == 32
    assert len(ring.facets) == 16
    radii = np.linalg.norm(ring.points[ring.facet_corners], axis=2)
    inner = ring.facet_parts == ring.boundary_names.index("inner")
    np.testing.assert_allclose(radii[inner], 1.0)
    np.testing.assert_allclose(radii[~inner], 2.0)
    named = joined_mesh(halves, {"inside": lambda x: np.linalg.norm(x, axis=1) < 1.5})
    assert named.boundary_names == ("inside", "boundary")
    np.testing.assert_array_equal(named.facet_parts == 0, inner)


def test_a_reflection_keeps_the_parts_of_the_boundary():
    mesh = mapped_mesh(Rectangle().mesh(2, "triangle"), lambda x: x * [-1.0, 1.0])
    middle = mesh.points[mesh.facet_corners].mean(axis=1)
    left = mesh.facet_parts == mesh.boundary_names.index("left")
    np.testing.assert_allclose(middle[left, 0], 0.0)
    right = mesh.facet_parts == mesh.boundary_names.index("right")
    np.testing.assert_allclose(middle[right, 0], -1.0)
    assert mesh.volume == pytest.approx(1.0)


def test_what_does_not_fit_is_refused():
    square = Rectangle().mesh(2, "quadrilateral")
    beside = Rectangle((1.0, 0.0), (2.0, 1.0)).mesh(3, "quadrilateral")
    with pytest.raises(ValueError, match="hanging node"):
        joined_mesh([square, beside], {})
    with pytest.raises(ValueError, match="cells of one kind"):
        joined_mesh([square, Rectangle().mesh(2, "triangle")], {})
    with pytest.raises(ValueError, match="degenerate"):
        mapped_mesh(square, lambda x: x * [1.0, 0.0])
