"""Meshes of domains: no bad cells, every facet named, areas that converge; refinement."""

import numpy as np
import pytest

from pdes.domain import Ball, Box, Disk, Interval, LShape, Mesh, MeshDomain, Polygon, Rectangle
from pdes.domain._mesh_domain import facet_normals
from pdes.domain._simplices import measures
from pdes.domain._topology import boundary_facets, corner_jacobians
from tests.domain._shapes import CHANNEL, PLANAR

STAR = Polygon(
    [
        ((1 + 0.5 * (i % 2)) * np.cos(i * np.pi / 5), (1 + 0.5 * (i % 2)) * np.sin(i * np.pi / 5))
        for i in range(10)
    ]
)
MESHES = {
    "interval": Interval(-1.0, 2.0).mesh(cells=7),
    "triangles": Rectangle((0.0, 0.0), (2.0, 1.0)).mesh(cells=6),
    "quadrilaterals": Rectangle((0.0, 0.0), (2.0, 1.0)).mesh(cells=6, shape="quadrilateral"),
    "tetrahedra": Box((0, 0, 0), (1, 2, 1)).mesh(cells=4),
    "hexahedra": Box((0, 0, 0), (1, 2, 1)).mesh(cells=4, shape="hexahedron"),
    "disk": Disk((1.0, 0.0), 0.5).mesh(size=0.1),
    "disk of quadrilaterals": Disk((1.0, 0.0), 0.5).mesh(size=0.1, shape="quadrilateral"),
    "ball": Ball((0.0, 1.0, 0.0), 0.5).mesh(size=0.2),
    "ball of hexahedra": Ball((0.0, 1.0, 0.0), 0.5).mesh(size=0.2, shape="hexahedron"),
    "L": LShape().mesh(size=0.25),
    "L of quadrilaterals": LShape().mesh(size=0.25, shape="quadrilateral"),
    "triangle": Polygon([(0, 0), (0, 1), (2, 0)]).mesh(size=0.2),
    "star": STAR.mesh(size=0.2),
    "channel": CHANNEL.mesh(size=0.05),
    "frame": PLANAR["frame"][0].mesh(size=0.1),
    "moon": PLANAR["moon"][0].mesh(size=0.1),
    "two disks": PLANAR["two disks"][0].mesh(size=0.15),
    "square with a square hole": (Rectangle() - Rectangle((0.2, 0.3), (0.6, 0.7))).mesh(size=0.1),
}


def check(mesh: Mesh):
    """What holds for every mesh."""
    assert (corner_jacobians(mesh.points, mesh.cells, mesh.shape) > 0).all()
    facets, _ = boundary_facets(mesh.points, mesh.cells, mesh.shape, "test")
    assert {tuple(f) for f in facets.tolist()} == {tuple(f) for f in mesh.facets.tolist()}
    assert len(mesh.facets) == len(facets) == len(mesh.facet_parts)
    used = np.unique(mesh.facet_parts)
    np.testing.assert_array_equal(used, np.arange(len(mesh.boundary_names)))
    assert len(np.unique(mesh.cells)) == len(mesh.points)
    assert len(mesh.cell_regions) == len(mesh.cells)


def flux_of_position(mesh: Mesh) -> float:
    """∮ x·n over flat facets, exact."""
    corners = mesh.points[mesh.facet_corners]
    if corners.shape[1] == 4:
        # A bilinear facet integrates ∂x/∂u × ∂x/∂v exactly by 2 × 2 Gauss points.
        total = 0.0
        gauss = 0.5 + np.array([-1, 1]) / np.sqrt(12)
        mean = facet_normals(mesh)
        for u in gauss:
            for v in gauss:
                weights = [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v]
                x = np.einsum("k,nkd->nd", weights, corners)
                along = (1 - v) * (corners[:, 1] - corners[:, 0])
                along += v * (corners[:, 3] - corners[:, 2])
                across = (1 - u) * (corners[:, 2] - corners[:, 0])
                across += u * (corners[:, 3] - corners[:, 1])
                normal = np.cross(along, across)
                normal *= np.sign(np.sum(normal * mean, axis=1, keepdims=True))
                total += 0.25 * np.sum(x * normal)
        return float(total)
    moment = np.sum(corners.mean(axis=1) * facet_normals(mesh), axis=1)
    return float(moment @ measures(corners))


@pytest.mark.parametrize("name", MESHES)
def test_meshes_are_sound(name):
    check(MESHES[name])


@pytest.mark.parametrize("name", MESHES)
def test_divergence_theorem_on_the_mesh(name):
    mesh = MESHES[name]
    assert flux_of_position(mesh) == pytest.approx(mesh.dim * mesh.volume, rel=1e-12)


@pytest.mark.parametrize("name", MESHES)
def test_refinement(name):
    mesh = MESHES[name]
    fine = mesh.refine()
    check(fine)
    assert len(fine.cells) == 2**mesh.dim * len(mesh.cells)
    assert len(fine.facets) == 2 ** (mesh.dim - 1) * len(mesh.facets)
    # The boundary quadrilaterals of a ball are bent, and so are those of its refinement.
    assert fine.volume == pytest.approx(mesh.volume, rel=1e-12)
    np.testing.assert_allclose(fine.points[: len(mesh.points)], mesh.points)
    assert fine.boundary_names == mesh.boundary_names
    for part in range(len(mesh.boundary_names)):
        before = measures(mesh.points[mesh.facet_corners[mesh.facet_parts == part]][:, :3])
        after = measures(fine.points[fine.facet_corners[fine.facet_parts == part]][:, :3])
        if mesh.shape == "hexahedron":
            assert len(after) == 4 * len(before)
        else:
            assert after.sum() == pytest.approx(before.sum(), rel=1e-12)


def test_refinement_keeps_regions():
    mesh = Interval(0.0, 1.0).mesh(cells=4)
    halves = Mesh(
        points=mesh.points,
        cells=mesh.cells,
        shape=mesh.shape,
        facets=mesh.facets,
        facet_parts=mesh.facet_parts,
        boundary_names=mesh.boundary_names,
        cell_regions=np.array([0, 0, 1, 1]),
        regions=("copper", "steel"),
    )
    fine = halves.refine().refine()
    middles = fine.points[fine.cells].mean(axis=1)[:, 0]
    np.testing.assert_array_equal(fine.cell_regions, (middles > 0.5).astype(int))
    domain = MeshDomain(fine)
    np.testing.assert_array_equal(domain.region_of(np.array([[0.2], [0.9]])), [0, 1])


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
@pytest.mark.parametrize("periodic", [(True, False), (True, True)])
@pytest.mark.parametrize("cells", [1, 3])
def test_refinement_keeps_periodicity(shape, periodic, cells):
    box = Rectangle((0.0, 0.0), (2.0, 1.0), periodic=periodic)
    coarse = box.mesh(cells=(cells, cells), shape=shape)
    fine = coarse.refine()
    expected = box.mesh(cells=(2 * cells, 2 * cells), shape=shape)

    def pairs(mesh):
        ends = mesh.points[mesh.periodic_pairs].reshape(-1, 4)
        return sorted(map(tuple, np.round(ends, 9).tolist()))

    assert pairs(fine) == pairs(expected)
    assert len(fine.facets) == len(expected.facets)


def test_refinement_keeps_periodicity_in_space():
    box = Box((0, 0, 0), (1, 1, 1), periodic=(True, False, True))
    fine = box.mesh(cells=2).refine()
    expected = box.mesh(cells=4)
    slaves, masters = fine.periodic_pairs.T
    assert len(slaves) == len(expected.periodic_pairs)
    assert not set(slaves.tolist()) & set(masters.tolist())


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
def test_area_of_straight_and_curved_disks_converges(shape):
    errors = {False: [], True: []}
    for size in (0.25, 0.125):
        for curved in errors:
            mesh = Disk().mesh(size=size, shape=shape, curved=curved)
            errors[curved].append(abs(mesh.volume - np.pi))
    straight, curved = (np.log2(e[0] / e[1]) for e in errors.values())
    assert straight == pytest.approx(2.0, abs=0.1)
    assert curved == pytest.approx(4.0, abs=0.2)


def test_volume_of_balls_converges():
    for shape in ("tetrahedron", "hexahedron"):
        coarse, fine = (
            4 / 3 * np.pi - Ball().mesh(size=s, shape=shape).volume for s in (0.25, 0.125)
        )
        assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.15)


def test_refined_curved_cells_keep_their_shape():
    mesh = Disk().mesh(size=0.5, curved=True)
    fine = mesh.refine()
    assert fine.geometry is not None
    assert fine.volume == pytest.approx(mesh.volume, rel=1e-13)
    np.testing.assert_allclose(fine.points[fine.cells], fine.geometry[:, :3], atol=1e-14)


def angles(mesh: Mesh) -> np.ndarray:
    x = mesh.points[mesh.cells]
    out = []
    for i in range(3):
        u, v = x[:, (i + 1) % 3] - x[:, i], x[:, i - 1] - x[:, i]
        cosine = np.sum(u * v, axis=1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
        out.append(np.degrees(np.arccos(cosine)))
    return np.array(out)


@pytest.mark.parametrize(
    ("domain", "size"),
    [
        (CHANNEL, 0.05),
        (CHANNEL, 0.1),
        (PLANAR["frame"][0], 0.1),
        (PLANAR["lens"][0], 0.1),
        (STAR, 0.2),
        (Disk() - Disk((0.3, 0.0), 0.5), 0.1),
    ],
)
def test_triangles_are_well_shaped(domain, size):
    mesh = domain.mesh(size=size)
    assert angles(mesh).min() > 20
    assert angles(mesh).max() < 130
    edges = mesh.points[mesh.cells[:, [0, 1, 2]]] - mesh.points[mesh.cells[:, [1, 2, 0]]]
    assert np.linalg.norm(edges, axis=2).max() < 1.6 * size


def test_boundary_points_lie_on_the_boundary():
    mesh = CHANNEL.mesh(size=0.05)
    on = mesh.facet_corners[mesh.facet_parts == mesh.boundary_names.index("cylinder")]
    radius = np.linalg.norm(mesh.points[on] - [0.2, 0.2], axis=2)
    np.testing.assert_allclose(radius, 0.05, rtol=1e-9)


def test_parts_named_by_predicates_reach_the_mesh():
    mesh = Disk().name("left", lambda x: x[0] < 0).mesh(size=0.2)
    left = mesh.boundary_names.index("left")
    middles = mesh.points[mesh.facet_corners].mean(axis=1)
    np.testing.assert_array_equal(mesh.facet_parts == left, middles[:, 0] < 0)
    cap = Ball().name("cap", lambda x: x[2] > 0).mesh(size=0.5)
    middles = cap.points[cap.facet_corners].mean(axis=1)
    np.testing.assert_array_equal(
        cap.facet_parts == cap.boundary_names.index("cap"), middles[:, 2] > 0
    )


def test_meshing_is_deterministic():
    first, second = CHANNEL.mesh(size=0.1), CHANNEL.mesh(size=0.1)
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.cells, second.cells)


def test_axis_aligned_corners_have_no_trapped_triangle():
    mesh = Rectangle((0.0, 0.0), (1.0, 1.0)) | Rectangle((1.0, 0.0), (2.0, 0.5))
    cells = mesh.mesh(size=0.25)
    rim = np.unique(cells.facet_corners)
    trapped = np.isin(cells.cells, rim).all(axis=1)
    assert trapped.sum() == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Disk().mesh(size=-1.0), "positive number"),
        (lambda: Disk().mesh(shape="hexagon"), '"triangle" or "quadrilateral"'),
        (lambda: Ball().mesh(shape="triangle"), '"tetrahedron" or "hexahedron"'),
        (lambda: LShape().mesh(mesher="best"), 'mesher is "default" or "gmsh"'),
        (lambda: CHANNEL.mesh(shape="quadrilateral"), "not along an axis"),
        (lambda: Rectangle().mesh(cells=0), "at least 1"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("name", ["channel", "frame", "lens"])
def test_curved_cells_of_combinations(name):
    domain, area, _ = PLANAR[name]
    straight, curved = (domain.mesh(cells=24, curved=c) for c in (False, True))
    assert abs(curved.volume - area) < 0.02 * abs(straight.volume - area)
    assert MeshDomain(curved).volume == curved.volume


PLATE = Rectangle((0.0, 0.0), (10.0, 10.0)) - Disk((0.0, 0.0), 1.0, boundary="hole")


def test_cells_of_different_sizes_follow_the_function():
    def size(x):
        return 0.1 + 0.25 * np.maximum(np.hypot(x[0], x[1]) - 1, 0)

    mesh = PLATE.mesh(cells=20, size=size, curved=True)
    check(mesh)
    assert angles(mesh).min() > 25
    # The hole is a quarter of a circle in the corner of the plate.
    assert mesh.volume == pytest.approx(100 - np.pi / 4, rel=1e-7)
    ends = mesh.points[mesh.cells[:, [[0, 1], [1, 2], [2, 0]]]]
    length = np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2).mean(axis=1)
    middles = mesh.points[mesh.cells].mean(axis=1).T
    wanted = np.minimum(size(middles), 0.5)
    assert (length / wanted).min() > 0.6 and (length / wanted).max() < 1.4
    np.testing.assert_allclose(np.median(length / wanted), 1.0, atol=0.15)
    # A function that takes one point only gives the same mesh.
    one = PLATE.mesh(cells=20, size=lambda x: float(size(x)), curved=True)
    np.testing.assert_array_equal(one.points, mesh.points)


def test_graded_intervals_and_rectangles():
    h = np.diff(Interval(0.0, 1.0).mesh(size=lambda x: 0.01 + 0.2 * x[0]).points[:, 0])
    x = np.concatenate([[0], np.cumsum(h)])
    np.testing.assert_allclose(h, 0.01 + 0.1 * (x[1:] + x[:-1]), rtol=0.1)
    assert (
        np.diff(Interval(0.0, 1.0).mesh(cells=10, size=lambda x: 1.0).points[:, 0]).max()
        < 0.1 + 1e-9
    )
    mesh = (
        Rectangle()
        .name("lid", lambda x: x[1] > 1 - 1e-9)
        .mesh(size=lambda x: 0.1 + 0.2 * np.abs(x[1] - 1))
    )
    check(mesh)
    assert set(mesh.boundary_names) == {"left", "right", "bottom", "lid"}
    assert mesh.volume == pytest.approx(1.0, rel=1e-12)


def test_sizes_that_can_not_be():
    with pytest.raises(ValueError, match="positive number everywhere"):
        PLATE.mesh(size=lambda x: x[0] - 5.0)
    with pytest.raises(ValueError, match="not periodic"):
        Rectangle(periodic=True).mesh(size=lambda x: 0.1)
