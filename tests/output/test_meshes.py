"""Finite element solutions in files and pictures: their own cells, of their degree."""

import jax.numpy as jnp
import meshio
import numpy as np
import pytest

import physml as pm
from pdes.library import poisson
from solvers.output._cells import nodal_cells, vtk_order

CURVED = pm.Rectangle() - pm.Disk((0.0, 0.0), 0.5, boundary="arc")


def quadratic(domain, degree=2, **options):
    """u = x² − 2y, with materials "left" and "right"."""
    mesh = domain.mesh(cells=4, **options)
    half = (mesh.points[mesh.cells].mean(axis=1)[:, 0] > 0.5).astype(int)
    mesh = type(mesh)(**{**vars(mesh), "cell_regions": half, "regions": ("left", "right")})
    exact = lambda x, t: x[0] ** 2 - 2 * x[1]
    problem = pm.Problem(
        pm.library.Poisson(f=-2.0), pm.MeshDomain(mesh), boundary={"all": pm.Dirichlet(u=exact)}
    )
    return pm.solve(problem, pm.FiniteElement(degree=degree))


@pytest.fixture(scope="module")
def solution():
    return quadratic(CURVED, curved=True)


@pytest.mark.parametrize("suffix", [".vtu", ".xdmf"])
def test_curved_cells_are_written_as_they_are(solution, tmp_path, suffix):
    cells = solution.representation.space.mesh
    eta = pm.estimate(solution).indicators
    path = solution.save(tmp_path / f"plate{suffix}", cell_data={"eta": eta})
    if suffix == ".vtu":
        mesh = meshio.read(path)
        points, blocks = mesh.points, mesh.cells
        data, on_cells = mesh.point_data, mesh.cell_data
    else:
        with meshio.xdmf.TimeSeriesReader(path) as reader:
            points, blocks = reader.read_points_cells()
            _, data, on_cells = reader.read_data(0)
    assert blocks[0].type == "triangle6" and blocks[0].data.shape == (len(cells.cells), 6)
    # Curved cells hold quadratics of their reference coordinates, not of x.
    np.testing.assert_allclose(data["u"], solution["u"](points[:, :2]), atol=1e-11)
    np.testing.assert_allclose(data["u"], points[:, 0] ** 2 - 2 * points[:, 1], atol=1e-3)
    np.testing.assert_array_equal(on_cells["region"][0], cells.cell_regions)
    np.testing.assert_allclose(on_cells["eta"][0], eta)
    # Read back as a mesh, the curved cells and materials are those that were written.
    if suffix == ".vtu":
        back = pm.read_mesh(path)
        assert back.volume == pytest.approx(cells.volume, rel=1e-13)
        assert len(back.regions) == 2


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
@pytest.mark.parametrize("degree", [3, 4])
def test_nodes_of_high_degree_go_around_as_vtk_has_them(shape, degree):
    """Corners first, then each edge's nodes evenly from its first corner to its second."""
    _, order = vtk_order(shape, degree)
    reference = np.array([[0, 0], [1, 0], [0, 1]])
    sides = [(0, 1), (1, 2), (2, 0)]
    if shape == "quadrilateral":
        reference = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        sides = [(0, 1), (1, 2), (3, 2), (0, 3)]
    solution = quadratic(pm.Rectangle(), degree, shape=shape)
    nodes = nodal_cells(solution.representation).local[list(order)]
    np.testing.assert_allclose(nodes[: len(reference)], reference, atol=1e-14)
    at = len(reference)
    for a, b in sides:
        s = np.arange(1, degree)[:, None] / degree
        expected = (1 - s) * reference[a] + s * reference[b]
        np.testing.assert_allclose(nodes[at : at + degree - 1], expected, atol=1e-13)
        at += degree - 1
    # What is left lies inside, each once.
    rest = np.round(nodes[at:] * degree).astype(int)
    assert (rest > 0).all() and len(np.unique(rest, axis=0)) == len(rest)
    assert len(nodes) == (degree + 1) * (degree + 2) // 2 or len(nodes) == (degree + 1) ** 2


def test_high_degree_in_vtu_and_not_in_xdmf(tmp_path):
    solution = quadratic(pm.Rectangle(), 3)
    mesh = meshio.read(solution.save(tmp_path / "a.vtu"))
    assert mesh.cells[0].type == "VTK_LAGRANGE_TRIANGLE" and mesh.cells[0].data.shape[1] == 10
    expected = mesh.points[:, 0] ** 2 - 2 * mesh.points[:, 1]
    np.testing.assert_allclose(mesh.point_data["u"], expected, atol=1e-11)
    with pytest.raises(ValueError, match="degree 2 at most"):
        solution.save(tmp_path / "a.xdmf")
    with pytest.raises(ValueError, match="cell data 'eta' has 3 values"):
        solution.save(tmp_path / "a.vtu", cell_data={"eta": [1, 2, 3]})


def test_both_sides_of_a_periodic_domain_and_a_pvd_of_one_frame(tmp_path):
    problem = pm.Problem(
        pm.library.Poisson(f=lambda p: 4 * jnp.pi**2 * jnp.sin(2 * jnp.pi * p.x[0])),
        pm.Rectangle(periodic=(True, False)),
        boundary={"all": pm.Neumann(u=0.0)},
        gauge={"u": pm.ZeroMean()},
    )
    solution = pm.solve(problem, pm.FiniteElement(cells=4))
    path = solution.save(tmp_path / "wave.pvd")
    assert 'file="wave_0000.vtu"' in path.read_text()
    mesh = meshio.read(tmp_path / "wave_0000.vtu")
    assert len(mesh.points) == 81
    assert np.ptp(mesh.points[mesh.cells[0].data], axis=1).max() <= 0.25 + 1e-12
    ends = [np.sort(mesh.point_data["u"][np.isclose(mesh.points[:, 0], x)]) for x in (0.0, 1.0)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-12)


def test_pictures_on_the_mesh(solution):
    figure = solution.plot(edges=True)
    axes = figure.get_axes()[0]
    (lines,) = (c for c in axes.collections if type(c).__name__ == "LineCollection")
    assert len(lines.get_segments()) == len(solution.representation.space.mesh.cells)
    rim = np.concatenate(lines.get_segments())
    # Edges on the arc are drawn round.
    assert (np.abs(np.linalg.norm(rim, axis=1) - 0.5) < 1e-3).sum() > 8
    estimate = pm.estimate(solution, "zz")
    assert estimate.plot().get_axes()[0].collections


def test_deformed_shapes_and_streamlines():
    bar = pm.Problem(
        pm.library.Elasticity(young=1.0, poisson=0.0),
        pm.Rectangle((0.0, 0.0), (2.0, 1.0)),
        boundary={
            "left": pm.Dirichlet(u=(0.0, None)),
            "bottom": pm.Dirichlet(u=(None, 0.0)),
            "right": pm.Traction(u=(0.5, 0.0)),
            "top": pm.Traction(u=(0.0, 0.0)),
        },
    )
    solution = pm.solve(bar, pm.FiniteElement(degree=1, cells=2))
    axes = solution.plot("u", deformed="u", edges=True, scale=2.0).get_axes()[0]
    lines = next(c for c in axes.collections if type(c).__name__ == "LineCollection")
    # u₁ = x/2: the end at x = 2 moves by 2 · 1.
    assert np.concatenate(lines.get_segments())[:, 0].max() == pytest.approx(4.0, rel=1e-9)
    flow = solution.plot("u", streamlines="u").get_axes()[0]
    arrows = [p for p in flow.patches if type(p).__name__ == "FancyArrowPatch"]
    assert arrows
    with pytest.raises(ValueError, match="no vector field of the plane"):
        quadratic(pm.Rectangle()).plot(streamlines="u")
    with pytest.raises(pm.NotApplicable, match="finite element solutions in the plane"):
        pm.solve(poisson(1), pm.FiniteElement(cells=4)).plot(edges=True)
