"""Poisson on an L-shape read from a Gmsh file, with its physical groups as boundary names."""

import tempfile
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import meshio
import numpy as np

import physml as pm


def write_gmsh(path: Path, size: float) -> None:
    """The L-shape with groups "plate", "corner" (the re-entrant sides) and "outer"."""
    mesh = pm.Polygon([(-1, -1), (0, -1), (0, 0), (1, 0), (1, 1), (-1, 1)]).mesh(size=size)
    sides = mesh.facet_corners
    centre = mesh.points[sides].mean(axis=1)
    reentrant = (centre[:, 0] > -1e-9) & (centre[:, 1] < 1e-9)
    groups = [np.full(len(mesh.cells), 1), np.where(reentrant, 2, 3)]
    meshio.Mesh(
        np.pad(mesh.points, ((0, 0), (0, 1))),
        [("triangle", mesh.cells), ("line", sides)],
        cell_data={"gmsh:physical": groups, "gmsh:geometrical": groups},
        field_data={n: np.array(v) for n, v in GROUPS.items()},
    ).write(path, file_format="gmsh22", binary=False)


GROUPS = {"plate": (1, 2), "corner": (2, 1), "outer": (3, 1)}  # number and dimension


def main(folder: Path | None = None, size: float = 0.1) -> float:
    """Relative L2 error against r^⅔ sin(⅔θ), which is zero on the sides called "corner"."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(folder or temporary) / "lshape.msh"
        write_gmsh(path, size)
        domain = pm.MeshDomain(path)
    exact = pm.library.poisson_lshape().exact["u"]
    problem = pm.Problem(
        pm.library.Poisson(),
        domain,
        boundary={"corner": pm.Dirichlet(u=0.0), "outer": pm.Dirichlet(u=exact)},
    )
    solution = pm.solve(problem, pm.FiniteElement(degree=2))
    x = jnp.asarray(domain.sample_interior(2000))
    truth = jax.vmap(exact)(x)
    return float(jnp.linalg.norm(solution["u"](x) - truth) / jnp.linalg.norm(truth))


if __name__ == "__main__":
    error = main()
    print(f"relative L2 error: {error:.1e}")
    assert error < 2e-2
