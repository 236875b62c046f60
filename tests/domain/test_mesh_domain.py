"""Domains given by meshes: from files of other tools and our own, and what they refuse."""

import meshio
import numpy as np
import pytest

from pdes.domain import Box, Disk, Interval, Mesh, MeshDomain, Rectangle, read_mesh, write_mesh
from tests.domain.test_meshing import check, flux_of_position

# File: shape, cells, points, boundary names with numbers of facets, regions, area.
FILES = {
    "gear.mesh": ("quadrilateral", 14192, 14954, {"1000": 1448, "1001": 76}, ("2000",), None),
    "circle_quad.mesh": ("quadrilateral", 1024, 1089, {"1000": 128}, (), np.pi),
    "cylinder_stokes.msh": (
        "triangle",
        293,
        171,
        {"left": 14, "bottom": 5, "right": 10, "top": 7, "ball": 11},
        (),
        50 - np.pi / 2,
    ),
    "tagged_gmsh4.msh": ("triangle", 80, 55, {"tagged": 8, "boundary": 20}, ("all",), 0.55),
    "quadratic_tri.msh": ("triangle", 119, 72, {"boundary": 23}, (), np.pi / 4),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_tools(shared_data, name):
    shape, cells, points, parts, regions, area = FILES[name]
    domain = MeshDomain(shared_data / name)
    mesh = domain.mesh()
    check(mesh)
    assert (mesh.shape, len(mesh.cells), len(mesh.points)) == (shape, cells, points)
    counts = np.bincount(mesh.facet_parts)
    assert dict(zip(mesh.boundary_names, counts.tolist(), strict=True)) == parts
    assert domain.regions == regions
    if area is not None:
        assert domain.volume == pytest.approx(area, rel=2e-3)
    if mesh.geometry is None:
        assert flux_of_position(mesh) == pytest.approx(2 * domain.volume, rel=1e-11)
    assert mesh.refine().volume == pytest.approx(domain.volume, rel=1e-11)


def test_six_node_triangles_are_curved(shared_data):
    domain = MeshDomain(shared_data / "quadratic_tri.msh")
    mesh = domain.mesh()
    assert mesh.geometry is not None and mesh.geometry.shape == (119, 6, 2)
    np.testing.assert_allclose(mesh.geometry[:, :3], mesh.points[mesh.cells])
    # The polygon of its 23 sides would be short by 1.2e-2.
    assert domain.volume == pytest.approx(np.pi / 4, rel=2e-5)


def test_mixed_cells_are_refused(shared_data):
    with pytest.raises(ValueError, match=r"16 triangle cells; .* not supported yet.*Recombine"):
        MeshDomain(shared_data / "mixedtriquad.msh")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files(shared_data, tmp_path, name, share):
    raw = (shared_data / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(ValueError, match=r"not a complete|empty"):
        MeshDomain(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no mesh file"):
        MeshDomain(tmp_path / "none.msh")


def test_unknown_suffix(tmp_path):
    path = tmp_path / "mesh.docx"
    path.write_text("x")
    with pytest.raises(ValueError, match=r"unknown mesh format '.docx'"):
        MeshDomain(path)


MADE = {
    "interval": Interval(0.0, 2.0).mesh(cells=5),
    "triangle": Rectangle((0.0, 0.0), (2.0, 1.0)).mesh(cells=4),
    "quadrilateral": Disk().mesh(size=0.4, shape="quadrilateral"),
    "tetrahedron": Box((0, 0, 0), (1, 2, 3)).mesh(cells=3),
    "hexahedron": Box((0, 0, 0), (1, 2, 3)).mesh(cells=3, shape="hexahedron"),
}


@pytest.mark.parametrize("suffix", ["vtu", "msh", "xdmf", "vtk"])
@pytest.mark.parametrize("shape", MADE)
def test_written_files_are_read_back(tmp_path, shape, suffix):
    mesh = MADE[shape]
    path = tmp_path / f"mesh.{suffix}"
    write_mesh(
        path, mesh, {"u": mesh.points[:, 0]}, {"number": np.arange(len(mesh.cells), dtype=float)}
    )
    back = MeshDomain(path).mesh()
    check(back)
    np.testing.assert_allclose(back.points[back.cells], mesh.points[mesh.cells], atol=1e-15)
    assert back.boundary_names == ("boundary",)
    np.testing.assert_allclose(meshio_data(path), mesh.points[:, 0], atol=1e-15)


def meshio_data(path):
    return meshio.read(path, file_format="gmsh" if path.suffix == ".msh" else None).point_data["u"]


def test_written_quadrilaterals_go_around(tmp_path):
    path = tmp_path / "square.vtu"
    write_mesh(path, Rectangle().mesh(cells=1, shape="quadrilateral"))
    corners = meshio.read(path).points[meshio.read(path).cells[0].data[0], :2]
    np.testing.assert_allclose(corners, [[0, 0], [1, 0], [1, 1], [0, 1]])


def test_data_of_the_wrong_length(tmp_path):
    with pytest.raises(ValueError, match=r"point data 'u' has 3 values; the mesh has \d+ points"):
        write_mesh(tmp_path / "x.vtu", Rectangle().mesh(cells=2), {"u": np.zeros(3)})


VTK_HEXAHEDRON = np.array(
    [
        *([0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]),
        *([0.5, 0, 0], [1, 0.5, 0], [0.5, 1, 0], [0, 0.5, 0]),
        *([0.5, 0, 1], [1, 0.5, 1], [0.5, 1, 1], [0, 0.5, 1]),
        *([0, 0, 0.5], [1, 0, 0.5], [1, 1, 0.5], [0, 1, 0.5]),
        *([0, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0]),
        *([0.5, 0.5, 1], [0.5, 0.5, 0.5]),
    ]
)
VTK_TETRAHEDRON = np.array(
    [
        *([0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0], [0.5, 0.5, 0]),
        *([0, 0.5, 0], [0, 0, 0.5], [0.5, 0, 0.5], [0, 0.5, 0.5]),
    ]
)
VTK_QUADRILATERAL = np.array(
    [
        *([0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]),
        *([0.5, 0, 0], [1, 0.5, 0], [0.5, 1, 0], [0, 0.5, 0], [0.5, 0.5, 0]),
    ]
)


@pytest.mark.parametrize(
    ("kind", "nodes", "volume"),
    [
        ("hexahedron27", VTK_HEXAHEDRON, 1.0),
        ("tetra10", VTK_TETRAHEDRON, 1 / 6),
        ("quad9", VTK_QUADRILATERAL, 1.0),
    ],
)
def test_quadratic_cells_in_basix_order(tmp_path, kind, nodes, volume):
    import basix

    path = tmp_path / "cell.vtu"
    meshio.Mesh(nodes.astype(float), [(kind, [np.arange(len(nodes))])]).write(path)
    mesh = read_mesh(path)
    element = basix.create_element(
        basix.ElementFamily.P, basix.CellType[mesh.shape], 2, basix.LagrangeVariant.gll_warped
    )
    assert mesh.geometry is not None
    np.testing.assert_allclose(mesh.geometry[0], element.points, atol=1e-15)
    assert mesh.volume == pytest.approx(volume, rel=1e-13)
    # The mirror image is turned, corners and nodes alike.
    mirrored = nodes.astype(float) * [-1.0, 1.0, 1.0]
    meshio.Mesh(mirrored, [(kind, [np.arange(len(nodes))])]).write(path)
    turned = read_mesh(path)
    assert turned.geometry is not None
    assert turned.volume == pytest.approx(volume, rel=1e-13)
    corners = turned.cells.shape[1]
    np.testing.assert_allclose(turned.geometry[0, :corners], turned.points[turned.cells[0]])


def gmsh22(tmp_path, names, tags):
    """Two squares of triangles, their outer sides tagged, as Gmsh 2.2."""
    points = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 0]], float)
    lines = np.array([[0, 1], [1, 2], [2, 5], [5, 4], [4, 3], [3, 0], [1, 4]])
    triangles = np.array([[0, 1, 4], [0, 4, 3], [1, 2, 5], [1, 5, 4]])
    cell_tags = [np.array(tags), np.array([10, 10, 20, 20])]
    mesh = meshio.Mesh(
        points,
        [("line", lines), ("triangle", triangles)],
        cell_data={"gmsh:physical": cell_tags, "gmsh:geometrical": cell_tags},
        field_data={k: np.array(v) for k, v in names.items()},
    )
    path = tmp_path / "two.msh"
    mesh.write(path, file_format="gmsh22", binary=False)
    return path


NAMES = {"inlet": [3, 1], "wall": [4, 1], "interface": [5, 1], "steel": [10, 2], "air": [20, 2]}


def test_gmsh_22_with_names(tmp_path):
    domain = MeshDomain(gmsh22(tmp_path, NAMES, [4, 4, 4, 4, 4, 3, 5]))
    # The interface is inside, so it is no boundary.
    assert set(domain.boundary_names) == {"inlet", "wall"}
    assert domain.regions == ("steel", "air")
    regions = domain.region_of(np.array([[0.5, 0.2], [1.5, 0.9]]))
    assert [domain.regions[i] for i in regions] == ["steel", "air"]
    inlet = domain.sample_boundary(10, part="inlet")
    np.testing.assert_allclose(inlet.normals, [[-1.0, 0.0]] * 10)
    assert inlet.weights.sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="lies outside the mesh"):
        domain.region_of(np.array([[5.0, 5.0]]))


def test_tags_without_names_and_facets_without_tags(tmp_path):
    domain = MeshDomain(gmsh22(tmp_path, {}, [7, 7, 0, 0, 0, 1000, 0]))
    assert set(domain.boundary_names) == {"7", "1000", "boundary"}
    assert domain.regions == ("10", "20")


def test_new_names(tmp_path):
    path = gmsh22(tmp_path, {}, [7, 7, 8, 0, 0, 1000, 0])
    domain = MeshDomain(
        path, boundary={"inlet": 1000, "floor": "7", "far": lambda x: x[1] > 0.99, "rest": [8]}
    )
    assert set(domain.boundary_names) == {"inlet", "floor", "far", "rest"}
    assert set(domain.name("out", lambda x: x[0] > 1.99).boundary_names) == {
        "inlet",
        "floor",
        "far",
        "out",
    }
    with pytest.raises(ValueError, match=r"no boundary or physical group 'outlet'.*'1000'"):
        MeshDomain(path, boundary={"out": "outlet"})
    with pytest.raises(ValueError, match="no boundary facet is left for 'out'"):
        MeshDomain(path, boundary={"out": lambda x: x[0] > 99})
    with pytest.raises(ValueError, match=r"no boundary 'outlet'; this domain has \["):
        domain.sample_boundary(3, part="outlet")


@pytest.mark.parametrize("shape", MADE)
def test_locating_points(shape):
    mesh = MADE[shape]
    domain = MeshDomain(mesh)
    x = domain.sample_interior(2000)
    cells = domain.locate(x)
    assert (cells >= 0).all()
    # Cells are convex: the point is inside if it is behind every facet.
    centre = mesh.points[mesh.cells].mean(axis=1)
    near = np.linalg.norm(x[:, None] - centre[None], axis=2)
    radius = np.linalg.norm(mesh.points[mesh.cells] - centre[:, None], axis=2).max(axis=1)
    assert (near[np.arange(len(x)), cells] <= radius[cells] * (1 + 1e-9)).all()
    np.testing.assert_array_equal(domain.locate(centre), np.arange(len(mesh.cells)))
    assert (domain.locate(mesh.points) >= 0).all()
    outside = domain.bounds[1] + 0.1
    assert domain.locate(outside[None])[0] == -1
    hull = np.random.default_rng(0).uniform(*domain.bounds, size=(4000, mesh.dim))
    if shape != "quadrilateral":
        assert domain.contains(hull).all()
    else:
        inside = np.linalg.norm(hull, axis=1) < 0.95
        assert domain.contains(hull)[inside].all()


@pytest.mark.parametrize("shape", MADE)
@pytest.mark.parametrize("scheme", ["sobol", "uniform", "grid"])
def test_samples_of_meshes(shape, scheme):
    mesh = MADE[shape]
    domain = MeshDomain(mesh)
    x = domain.sample_interior(4096, scheme=scheme)
    low, high = domain.bounds
    np.testing.assert_allclose(x.mean(axis=0), (low + high) / 2, atol=0.03 * (high - low).max())
    count = np.bincount(domain.locate(x), minlength=len(mesh.cells))
    assert count.min() > 0
    sample = domain.sample_boundary(4096, scheme=scheme)
    moment = np.sum(sample.points * sample.normals, axis=1) @ sample.weights
    assert moment == pytest.approx(mesh.dim * domain.volume, rel=0.03)
    assert domain.contains(sample.points, 1e-9).all()
    for number, part in enumerate(domain.boundary_names):
        assert (domain.sample_boundary(10, part=part, scheme=scheme).parts == number).all()


def built(points, cells, shape, **changes):
    """A mesh as a user might make one by hand."""
    base = dict(
        points=np.asarray(points, float),
        cells=np.asarray(cells),
        shape=shape,
        facets=np.zeros((0, 2), int),
        facet_parts=np.zeros(0, int),
        boundary_names=(),
        cell_regions=np.zeros(len(cells), int),
    )
    return Mesh(**{**base, **changes})


SQUARE = [[0, 0], [1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        (built(np.zeros((0, 2)), np.zeros((0, 3), int), "triangle"), "no cells"),
        (built(SQUARE, [[0, 1, 7]], "triangle"), "refers to point 7"),
        (built([*SQUARE[:3], [np.nan, 1]], [[0, 1, 2], [1, 3, 2]], "triangle"), "nan"),
        (built(SQUARE, [[0, 2, 1], [1, 3, 2]], "triangle"), "numbered backwards"),
        (built([[0, 0], [1, 0], [2, 0]], [[0, 1, 2]], "triangle"), "cell 0 .* degenerate"),
        (
            built([[0, 0], [1, 0], [0, 1], [0.2, 0.2]], [[0, 1, 2, 3]], "quadrilateral"),
            r"cell 0 with centre \[0.3, 0.3\] is inverted",
        ),
        (built(SQUARE, [[0, 1, 3, 2]], "quadrilateral"), "cell 0 .* inverted"),
        (
            built(
                [[0, 0], [1, 0], [0, 1], [1, 1], [2, 2]],
                [[0, 1, 2], [1, 3, 2], [1, 4, 2]],
                "triangle",
            ),
            "shared by 3 cells",
        ),
        (
            # One coarse triangle beside two fine ones.
            built(
                [[0, 0], [2, 0], [0, 2], [1, 1], [2, 2]],
                [[0, 1, 2], [1, 4, 3], [3, 4, 2]],
                "triangle",
            ),
            r"hanging node at \[1.0, 1.0\]",
        ),
        (built(SQUARE, [[0, 1, 2], [1, 3, 2]], "triangle"), "0 boundary facets are given"),
        (built(SQUARE, [[0, 1, 2]], "triangle"), "belong to no cell"),
        (built(SQUARE, [[0, 1, 2]], "pentagon"), "cells of shape 'pentagon'"),
        (built(SQUARE, [[0, 1, 2, 3]], "tetrahedron"), "points of 3 coordinates"),
    ],
)
def test_bad_meshes(mesh, words):
    with pytest.raises(ValueError, match=words):
        MeshDomain(mesh)


def write(path, points, cells):
    meshio.Mesh(np.asarray(points, float), cells).write(path)
    return path


def test_reversed_cells_of_files_are_turned(tmp_path):
    flat = np.pad(np.array(SQUARE, float), ((0, 0), (0, 1)))
    path = write(tmp_path / "m.vtu", flat, [("triangle", np.array([[0, 2, 1], [1, 3, 2]]))])
    mesh = MeshDomain(path).mesh()
    check(mesh)
    assert mesh.volume == 1.0
    path = write(tmp_path / "q.vtu", flat, [("quad", np.array([[0, 2, 3, 1]]))])
    check(MeshDomain(path).mesh())


@pytest.mark.parametrize(
    ("points", "cells", "words"),
    [
        (SQUARE, [("vertex", np.array([[0], [1]]))], "only points"),
        ([[*p, p[0]] for p in SQUARE], [("triangle", np.array([[0, 1, 2]]))], "surfaces and"),
        (
            [[*p, z] for z in (0, 1) for p in SQUARE[:3]],
            [("wedge", np.array([[0, 1, 2, 3, 4, 5]]))],
            "'wedge' are not supported",
        ),
        ([[0, 0], [1, 0], [0, np.inf]], [("triangle", np.array([[0, 1, 2]]))], "point 2"),
        ([[0, 0], [1, 0], [2, 0]], [("triangle", np.array([[0, 1, 2]]))], "degenerate|no volume"),
        (
            [[0, 0], [1, 0], [0.2, 0.2], [0, 1]],
            [("quad", np.array([[0, 1, 2, 3]]))],
            r"m.vtu: cell 0 with centre \[0.3, 0.3\] is inverted",
        ),
    ],
)
def test_bad_files(tmp_path, points, cells, words):
    x = np.asarray(points, float)
    x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
    with pytest.raises(ValueError, match=words):
        MeshDomain(write(tmp_path / "m.vtu", x, cells))


def test_overlapping_groups(shared_data):
    path = shared_data / "tagged_gmsh4.msh"
    assert MeshDomain(path, prefer=("test",)).boundary_names == ("test", "boundary")
    with pytest.raises(ValueError, match=r"no boundary or physical group 'lid'.*'tagged', 'test'"):
        MeshDomain(path, prefer=("lid",))
