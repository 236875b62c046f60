"""Local refinement: conforming, names and regions kept, curved boundaries followed."""

from itertools import combinations

import numpy as np
import pytest

from pdes.domain import Ball, Box, Disk, Interval, LShape, MeshDomain, Rectangle
from pdes.domain._topology import boundary_facets, check_hanging
from tests.domain.test_meshing import angles, check

HOLE = Rectangle() - Disk((0.5, 0.5), 0.3, "hole")
DOMAINS = {
    "interval": (Interval(0.0, 1.0), {"cells": 4}),
    "L": (LShape(), {"size": 0.5}),
    "disk": (Disk(), {"size": 0.4, "curved": True}),
    "hole": (HOLE, {"size": 0.2, "curved": True}),
    "box": (Box((0, 0, 0), (1, 1, 1)), {"cells": 2}),
    "ball": (Ball(), {"size": 1.0}),
}


def refined(domain, mesh, levels=4, seed=0):
    """Some random cells and those around the origin, in turn."""
    rng = np.random.default_rng(seed)
    for level in range(levels):
        distance = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1), axis=1)
        near = distance <= np.quantile(distance, 0.1)
        marked = near if level % 2 else rng.choice(len(near), max(1, len(near) // 8))
        mesh = mesh.refine(marked, domain)
    return mesh


@pytest.mark.parametrize("name", DOMAINS)
def test_local_refinement_is_conforming(name):
    domain, options = DOMAINS[name]
    coarse = domain.mesh(**options)
    fine = refined(domain, coarse, 3 if coarse.dim == 3 else 4)
    # A hanging node would leave facets of one cell inside the domain.
    check(fine)
    _, corners = boundary_facets(fine.points, fine.cells, fine.shape, name)
    check_hanging(fine.points, corners, fine.shape, name)
    assert fine.boundary_names == coarse.boundary_names
    assert len(fine.cells) >= 2 * len(coarse.cells)
    assert abs(fine.volume - domain.volume) <= max(abs(coarse.volume - domain.volume), 1e-12)
    kept = [np.linalg.norm(fine.points - x, axis=1).min() for x in coarse.points]
    assert max(kept) < 1e-12


def test_angles_do_not_degenerate():
    # Bisection of the longest edge keeps at least half of the least angle (Rosenberg, Stenger).
    mesh = LShape().mesh(size=0.5)
    assert angles(refined(LShape(), mesh, 8)).min() >= 0.5 * angles(mesh).min() - 1e-9
    box = Box((0, 0, 0), (1, 1, 1)).mesh(cells=1)
    assert shape_quality(refined(None, box, 6)).min() > 0.15


def shape_quality(mesh):
    """Inner radius over longest edge of tetrahedra, 1 for the regular one."""
    x = mesh.points[mesh.cells]
    volume = np.abs(np.linalg.det(x[:, 1:] - x[:, :1])) / 6
    area = sum(
        np.linalg.norm(np.cross(x[:, b] - x[:, a], x[:, c] - x[:, a]), axis=1) / 2
        for a, b, c in combinations(range(4), 3)
    )
    edges = [np.linalg.norm(x[:, a] - x[:, b], axis=1) for a, b in combinations(range(4), 2)]
    return 2 * np.sqrt(6) * 3 * volume / area / np.max(edges, axis=0)


def test_new_points_lie_on_the_curve():
    coarse = HOLE.mesh(size=0.2)
    for fine in (coarse.refine([0, 1], HOLE), refined(HOLE, coarse), coarse.refine(domain=HOLE)):
        hole = fine.facet_parts == fine.boundary_names.index("hole")
        radius = np.linalg.norm(fine.points[fine.facet_corners[hole]] - 0.5, axis=2)
        np.testing.assert_allclose(radius, 0.3, rtol=1e-12)
    ball = refined(Ball(), Ball().mesh(size=1.0), 2)
    np.testing.assert_allclose(np.linalg.norm(ball.points[ball.facet_corners], axis=2), 1.0)


def test_without_the_domain_curved_cells_keep_their_shape():
    mesh = HOLE.mesh(size=0.2, curved=True)
    fine = refined(None, mesh)
    assert fine.geometry is not None
    assert fine.volume == pytest.approx(mesh.volume, rel=1e-13)
    np.testing.assert_allclose(fine.points[fine.cells], fine.geometry[:, :3], atol=1e-14)


def test_curved_tetrahedra_follow_the_sphere():
    errors = [4 / 3 * np.pi - Ball().mesh(size=s, curved=True).volume for s in (0.5, 0.25)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.3)


def test_local_refinement_keeps_regions():
    mesh = Rectangle().mesh(cells=4)
    right = (mesh.points[mesh.cells].mean(axis=1)[:, 0] > 0.5).astype(int)
    halves = type(mesh)(**{**vars(mesh), "cell_regions": right, "regions": ("copper", "steel")})
    fine = refined(None, halves)
    middles = fine.points[fine.cells].mean(axis=1)
    np.testing.assert_array_equal(fine.cell_regions, (middles[:, 0] > 0.5).astype(int))
    assert MeshDomain(fine).regions == ("copper", "steel")


@pytest.mark.parametrize(
    "box",
    [
        Rectangle(periodic=True),
        Rectangle(periodic=(True, False)),
        Box((0, 0, 0), (1, 1, 1), periodic=(True, False, True)),
    ],
)
def test_periodic_sides_are_refined_alike(box):
    fine = refined(box, box.mesh(cells=3), 3)
    slaves, masters = fine.periodic_pairs.T
    assert not set(slaves.tolist()) & set(masters.tolist())
    for axis, periodic in enumerate(box.periodic):
        if not periodic:
            continue
        low, high = (
            np.delete(fine.points[np.abs(fine.points[:, axis] - end) < 1e-12], axis, axis=1)
            for end in (0.0, 1.0)
        )
        order = [np.lexsort(np.round(x, 9).T) for x in (low, high)]
        np.testing.assert_allclose(low[order[0]], high[order[1]], atol=1e-12)
    # One cell across would be one whose two corners are the same point.
    owner = np.arange(len(fine.points))
    owner[slaves] = masters
    _, counts = np.unique(np.sort(owner[_facets(fine)], axis=1), axis=0, return_counts=True)
    assert counts.max() == 2 and (counts == 1).sum() == len(fine.facets)


def _facets(mesh):
    local = list(combinations(range(mesh.dim + 1), mesh.dim))
    return mesh.cells[:, local].reshape(-1, mesh.dim)


def test_cells_that_can_not_be_refined_one_by_one():
    quadrilaterals = Rectangle().mesh(cells=2, shape="quadrilateral")
    with pytest.raises(ValueError, match="hanging nodes"):
        quadrilaterals.refine([0])
    triangles = Rectangle().mesh(cells=2)
    with pytest.raises(ValueError, match="the mesh has 8"):
        triangles.refine([8])
    with pytest.raises(ValueError, match="a mask of shape"):
        triangles.refine(np.ones(3, bool))
    assert triangles.refine([]) is triangles
