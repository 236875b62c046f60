"""Extrusions and cylinders, and what Gmsh meshes where it is installed."""

import sys
import types

import numpy as np
import pytest

from pdes.domain import Ball, Box, Cylinder, Disk, Extrusion, LShape, Rectangle
from pdes.domain._gmsh import load
from tests.domain._shapes import CHANNEL
from tests.domain.test_meshing import angles, check, flux_of_position
from tests.domain.test_refinement import shape_quality

CUBE = Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.fixture
def gmsh():
    """Skips, with the reason, where Gmsh or a library that it needs is missing."""
    try:
        return load()
    except ImportError as error:
        pytest.skip(str(error))


SOLIDS = {
    "pipe": (Extrusion(Disk() - Disk((0, 0), 0.5, "bore"), (0.0, 2.0)), 1.5 * np.pi, 7.5 * np.pi),
    "cylinder along x": (Cylinder((1.0, 0.0, 0.0), 0.5, 2.0, axis=0), 0.5 * np.pi, 2.5 * np.pi),
    "prism along y": (Extrusion(LShape(), (0.0, 0.5), axis=1), 1.5, 6.0 + 4.0),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_extrusions_are_sampled_evenly(name):
    domain, volume, area = SOLIDS[name]
    assert domain.volume == pytest.approx(volume, rel=1e-12)
    assert domain.contains(domain.sample_interior(500)).all()
    sample = domain.sample_boundary(4000)
    assert sample.weights.sum() == pytest.approx(area, rel=0.02)
    assert domain.contains(sample.points, 1e-9).all()
    assert not domain.contains(sample.points + 1e-4 * sample.normals).any()
    # Divergence theorem: ∮ x·n = 3 V.
    flux = np.sum(sample.points * sample.normals, axis=1) @ sample.weights
    assert flux == pytest.approx(3 * volume, rel=0.03)
    away = [float(domain.distance()(x)) for x in sample.points[:20]]
    np.testing.assert_allclose(away, 0.0, atol=1e-7)
    assert all(float(domain.distance()(x)) > 0 for x in domain.sample_interior(20))


@pytest.mark.parametrize("name", SOLIDS)
def test_meshes_of_extrusions(name):
    domain, volume, _ = SOLIDS[name]
    mesh = domain.mesh(cells=8, curved=True)
    check(mesh)
    assert set(mesh.boundary_names) == set(domain.boundary_names)
    assert mesh.volume == pytest.approx(volume, rel=2e-3)
    flat = domain.mesh(cells=8)
    assert flux_of_position(flat) == pytest.approx(3 * flat.volume, rel=1e-12)
    ends = [n for n in domain.boundary_names if n in ("left", "right", "back", "front", "top")]
    for end in ends:
        corners = mesh.facet_corners[mesh.facet_parts == mesh.boundary_names.index(end)]
        assert np.ptp(mesh.points[corners][:, :, domain.axis]) < 1e-12


def test_hexahedra_and_names():
    mesh = Extrusion(LShape(), (0.0, 1.0)).mesh(cells=4, shape="hexahedron")
    check(mesh)
    assert mesh.volume == pytest.approx(3.0, rel=1e-12)
    part = Cylinder().name("inlet", lambda x: x[2] < 1e-9)
    assert set(part.mesh(cells=4).boundary_names) == {"side", "inlet", "front"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Extrusion(Ball(), (0, 1)), "Extrusion takes"),
        (lambda: Extrusion(Rectangle(periodic=True), (0, 1)), "not periodic"),
        (lambda: Extrusion(Disk(), (1, 0)), "a start before its end"),
        (lambda: Extrusion(Rectangle(), (0, 1), axis=1), "'bottom' is the name of an end"),
        (lambda: Cylinder((0.0, 0.0)), "a center of 3"),
        (lambda: Cylinder(height=-1.0), "positive height"),
        (lambda: Cylinder().mesh(shape="hexahedron", size=lambda x: 0.1), "tetrahedron cells"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("shape", ["triangle", "quadrilateral"])
def test_gmsh_in_the_plane(gmsh, shape):
    mesh = CHANNEL.mesh(size=0.05, shape=shape, mesher="gmsh", curved=True)
    check(mesh)
    assert (mesh.shape, mesh.boundary_names) == (shape, CHANNEL.boundary_names)
    assert mesh.volume == pytest.approx(CHANNEL.volume, rel=1e-6)
    assert shape == "quadrilateral" or angles(mesh).min() > 25


def test_gmsh_with_a_local_size(gmsh):
    def size(x):
        return 0.005 + 0.1 * np.hypot(x[0] - 0.2, x[1] - 0.2)

    mesh = CHANNEL.mesh(cells=40, size=size, mesher="gmsh")
    check(mesh)
    ends = mesh.points[mesh.facet_corners]
    on = mesh.facet_parts == mesh.boundary_names.index("cylinder")
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    np.testing.assert_allclose(length[on], 0.01, rtol=0.1)
    assert length.max() > 0.04


@pytest.mark.parametrize(
    ("domain", "volume", "names"),
    [
        (
            CUBE - Ball((0.5, 0.5, 0.5), 0.3, "hole"),
            1 - 4 / 3 * np.pi * 0.027,
            {"left", "right", "bottom", "top", "back", "front", "hole"},
        ),
        (
            CUBE - Cylinder((-1.0, 0.5, 0.5), 0.2, 3.0, axis=0, boundary="bore"),
            1 - np.pi * 0.04,
            {"left", "right", "bottom", "top", "back", "front", "bore"},
        ),
        (
            Box((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)) & Ball(boundary="sphere"),
            np.pi / 6,
            {"left", "bottom", "back", "sphere"},
        ),
        (
            CUBE | Box((1.0, 0.0, 0.0), (2.0, 1.0, 1.0)),
            2.0,
            {"left", "right", "bottom", "top", "back", "front"},
        ),
    ],
)
def test_gmsh_of_combinations_of_solids(gmsh, domain, volume, names):
    mesh = domain.mesh(cells=6, curved=True)
    check(mesh)
    assert set(mesh.boundary_names) == names
    assert mesh.volume == pytest.approx(volume, rel=1e-3)
    assert shape_quality(mesh).min() > 0.15
    # The corners of the facets lie on the surface that names them.
    straight = domain.mesh(cells=6)
    for part, label in enumerate(mesh.boundary_names):
        corners = straight.points[straight.facet_corners[straight.facet_parts == part]]
        on = [s for s in domain.surfaces if s.label == label]
        away = np.min([s.away(corners.reshape(-1, 3))[0] for s in on], axis=0)
        assert away.max() < 1e-7


def test_without_gmsh(monkeypatch):
    monkeypatch.setitem(sys.modules, "gmsh", None)
    for make in (
        lambda: LShape().mesh(mesher="gmsh"),
        lambda: (CUBE - Ball()).mesh(),
        lambda: CUBE.mesh(size=lambda x: 0.2),
    ):
        with pytest.raises(ImportError, match=r'pip install "physml\[gmsh\]".*libglu1-mesa'):
            make()
    # Installed, but without the system's libraries.
    monkeypatch.setitem(sys.modules, "gmsh", types.SimpleNamespace(lib=None))
    with pytest.raises(ImportError, match="apt-get install libglu1-mesa"):
        (CUBE - Ball()).mesh()


def test_gmsh_that_is_in_use_is_left_alone(gmsh):
    gmsh.initialize(interruptible=False)
    try:
        with pytest.raises(RuntimeError, match=r"gmsh\.finalize"):
            (CUBE - Ball()).mesh()
        assert gmsh.isInitialized()
    finally:
        gmsh.finalize()
