"""Pictures on the cells of a plane finite element mesh: with edges, deformed, values by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdes.domain import Mesh
from solvers._result import NotApplicable
from solvers.fem._build import geometry_points
from solvers.fem._element import lagrange
from solvers.fem._locate import FEMRepresentation
from solvers.time import TimeSeries

Floats = NDArray[np.floating]


def mesh_of(solution: Any) -> Mesh:
    """The plane mesh of a finite element solution.

    Raises:
        NotApplicable: another method, or another dimension.
    """
    if not isinstance(solution.representation, FEMRepresentation) or solution.problem.dim != 2:
        raise NotApplicable(
            "edges and deformed shapes are drawn of finite element solutions in the plane; leave "
            "edges and deformed out"
        )
    return solution.representation.space.mesh


def at_local(solution: Any, field: str, local: Floats, t: float) -> Floats:
    """A field at the same reference points of every cell, (cells, q, components)."""
    representation = solution.representation
    space, state = representation.space, representation.state
    state = np.asarray(state(t) if isinstance(state, TimeSeries) else state)
    table = space.scalars[field].element.tabulate(local)[:, 0]
    dofs = state[space.dofs(field)].reshape(len(space.mesh.cells), table.shape[1], -1)
    return np.einsum("qn,cns->cqs", table, dofs)


def positions(mesh: Mesh, local: Floats) -> Floats:
    """Points of every cell, (cells, q, dim)."""
    corners, numbers = geometry_points(mesh)
    table = lagrange(mesh.shape, 1 if mesh.geometry is None else 2).tabulate(local)[:, 0]
    return np.einsum("qn,cnd->cqd", table, corners[numbers])


def subdivided(shape: str, parts: int) -> tuple[Floats, NDArray[np.integer]]:
    """A plane reference cell cut into triangles: points (q, 2) and corners (k, 3)."""
    triangle = shape == "triangle"
    steps = [
        (i, j) for j in range(parts + 1) for i in range(parts + 1) if not triangle or i + j <= parts
    ]
    number = {s: k for k, s in enumerate(steps)}
    corners = []
    for i, j in steps:
        if (i + 1, j) in number and (i, j + 1) in number:
            corners.append([number[i, j], number[i + 1, j], number[i, j + 1]])
        if (i + 1, j + 1) in number:
            corners.append([number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]])
    return np.array(steps) / parts, np.array(corners)


def outline(shape: str, parts: int) -> Floats:
    """Reference points around a plane cell, each edge in this many parts, closed."""
    ends = np.array([(0, 0), (1, 0), (0, 1)], float)
    if shape == "quadrilateral":
        ends = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    s = (np.arange(parts) / parts)[:, None]
    rows = [(1 - s) * a + s * b for a, b in zip(ends, np.roll(ends, -1, axis=0), strict=True)]
    return np.concatenate([*rows, ends[:1]])


def field_on_mesh(
    ax: Any,
    solution: Any,
    field: str,
    index: int | None,
    t: float,
    limits: Any,
    *,
    edges: bool,
    deformed: str | None,
    scale: float,
) -> Any:
    """Filled contours of one component on the cells, moved by scale × the field `deformed`."""
    from matplotlib.collections import LineCollection
    from matplotlib.tri import Triangulation

    mesh = mesh_of(solution)
    space = solution.representation.space
    degree = max(s.element.degree for s in space.scalars.values())
    parts = 1 if degree == 1 and mesh.shape == "triangle" and mesh.geometry is None else 4
    local, corners = subdivided(mesh.shape, parts)
    around = outline(mesh.shape, parts)
    x, rim = positions(mesh, local), positions(mesh, around)
    if deformed is not None:
        x = x + scale * at_local(solution, deformed, local, t)
        rim = rim + scale * at_local(solution, deformed, around, t)
    values = at_local(solution, field, local, t)[..., index or 0].ravel()
    count = x.shape[1]
    triangles = (corners + count * np.arange(len(x))[:, None, None]).reshape(-1, 3)
    flat = x.reshape(-1, 2)
    low, high, colours = limits(values)
    levels = np.linspace(low, high, 33)
    pad = 1e-9 * (high - low)
    levels[0], levels[-1] = levels[0] - pad, levels[-1] + pad
    grid = Triangulation(flat[:, 0], flat[:, 1], triangles)
    image = ax.tricontourf(grid, np.clip(values, low, high), levels, cmap=colours)
    if edges:
        width = float(np.clip(40 / np.sqrt(len(rim)), 0.15, 0.6))
        ax.add_collection(LineCollection(list(rim), colors="black", linewidths=width, alpha=0.6))
    if deformed is not None:
        _silhouette(ax, mesh)
    ax.set(xlabel="x", ylabel="y", aspect="equal")
    return image


def _silhouette(ax: Any, mesh: Mesh) -> None:
    """The boundary before it was deformed."""
    from matplotlib.collections import LineCollection

    ends = mesh.points[mesh.facet_corners]
    ax.add_collection(LineCollection(list(ends), colors="grey", linewidths=0.8, linestyles="--"))
    ax.autoscale_view()


def automatic_scale(solution: Any, field: str, t: float) -> float:
    """The factor that makes the largest displacement a tenth of the domain."""
    mesh = mesh_of(solution)
    local, _ = subdivided(mesh.shape, 2)
    largest = float(np.linalg.norm(at_local(solution, field, local, t), axis=2).max())
    size = float(np.ptp(mesh.points, axis=0).max())
    return 1.0 if largest == 0.0 else 0.1 * size / largest


def cells_picture(ax: Any, mesh: Mesh, values: Floats | None, label: str, log: bool = False) -> Any:
    """A plane mesh, its cells coloured by a value each where there is one.

    Raises:
        NotApplicable: a mesh that is not plane.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LogNorm

    if mesh.dim != 2:
        raise NotApplicable(f"meshes are drawn in the plane, this one has {mesh.dim} dimensions")
    rim = positions(mesh, outline(mesh.shape, 1 if mesh.geometry is None else 4))
    width = float(np.clip(40 / np.sqrt(len(rim)), 0.1, 0.6))
    style: dict[str, Any] = {"edgecolors": "black", "linewidths": width}
    if values is None:
        style["facecolors"] = "white"
    elif log:
        positive = values[values > 0]
        style |= {"cmap": "magma", "norm": LogNorm(positive.min(), positive.max())}
    collection = PolyCollection(list(rim), array=values, **style)
    ax.add_collection(collection)
    ax.autoscale_view()
    ax.set(xlabel="x", ylabel="y", aspect="equal")
    if values is not None:
        ax.figure.colorbar(collection, ax=ax, label=label)
    return collection
