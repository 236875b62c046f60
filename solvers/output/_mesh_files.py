"""Meshes with fields for ParaView: VTU, alone or as a series in a PVD file, and XDMF."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray

from pdes import Box
from solvers.fem._locate import FEMRepresentation
from solvers.output._cells import nodal_cells, vtk_order
from solvers.output._sample import default_times, evaluate

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class MeshOutput:
    """What is written.

    Attributes:
        points: (n, 3). kind, cells: meshio's. times: (frames,). steady: no time. values: of one
        time, from the number of its frame, each field (n, *shape). cell_data: by name.
    """

    points: Floats
    kind: str
    cells: NDArray[np.integer]
    times: Floats
    values: Callable[[int], dict[str, Floats]]
    cell_data: dict[str, Any]

    def point_data(self, frame: int) -> Any:
        """One frame; vectors padded to three components, as ParaView wants them."""
        return {name: _padded(value) for name, value in self.values(frame).items()}


def _padded(value: Floats) -> Floats:
    value = np.asarray(value, float).reshape(len(value), -1)
    if value.shape[1] == 2:
        return np.concatenate([value, np.zeros((len(value), 1))], axis=1)
    return value[:, 0] if value.shape[1] == 1 else value


def mesh_output(
    solution: Any, known: Floats | None, frames: int | None, cells: int | None, data: Any
) -> MeshOutput:
    """The finite elements' own cells; else cells made for the domain.

    Raises:
        ValueError: cell data of the wrong length.
    """
    problem = solution.problem
    times = known
    if times is None:
        times = default_times(problem.time, frames or 21)
    representation = solution.representation
    if isinstance(representation, FEMRepresentation) and cells is None:
        nodal = nodal_cells(representation)
        mesh, points = nodal.mesh, nodal.points
        kind, numbers = nodal.vtk()

        def values(frame: int) -> dict[str, Floats]:
            return nodal.values(float(times[frame]))
    else:
        mesh = _made(problem.domain, cells)
        points = mesh.points
        kind, order = vtk_order(mesh.shape, 1)
        numbers = mesh.cells[:, order]
        found = evaluate(representation, mesh.points, times)

        def values(frame: int) -> dict[str, Floats]:
            return {name: value[frame] for name, value in found.items()}

    full = np.zeros((len(points), 3))
    full[:, : mesh.dim] = points
    on_cells: dict[str, Any] = {"region": np.asarray(mesh.cell_regions)} if mesh.regions else {}
    on_cells |= _checked(data, len(mesh.cells))
    return MeshOutput(full, kind, numbers, np.asarray(times, float), values, on_cells)


def _made(domain: Any, cells: int | None) -> Any:
    if not isinstance(domain, Box):
        return domain.mesh()
    longest = cells or {1: 1000, 2: 128, 3: 32}[domain.dim]
    shape = {1: "interval", 2: "quadrilateral", 3: "hexahedron"}[domain.dim]
    return domain.mesh(cells=longest, shape=shape)


def _checked(data: Mapping[str, Any] | None, count: int) -> dict[str, Floats]:
    out = {name: np.asarray(values) for name, values in (data or {}).items()}
    for name, values in out.items():
        if len(values) != count:
            raise ValueError(
                f"cell data {name!r} has {len(values)} values; the mesh has {count} cells"
            )
    return out


def _write(out: MeshOutput, frame: int, path: Path) -> None:
    meshio.Mesh(
        out.points,
        [(out.kind, out.cells)],
        point_data=out.point_data(frame),
        cell_data={name: [values] for name, values in out.cell_data.items()},
    ).write(path)


def save_vtu(out: MeshOutput, path: Path) -> Path:
    """One file, or one a frame and a PVD file that names them; returns the one to open."""
    if len(out.times) == 1 and path.suffix == ".vtu":
        _write(out, 0, path)
        return path
    lines = []
    for i, t in enumerate(out.times):
        part = path.with_name(f"{path.stem}_{i:04d}.vtu")
        _write(out, i, part)
        lines.append(f'    <DataSet timestep="{t:.17g}" part="0" file="{part.name}"/>\n')
    series = path.with_suffix(".pvd")
    series.write_text(
        '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n  <Collection>\n'
        + "".join(lines)
        + "  </Collection>\n</VTKFile>\n",
        encoding="utf-8",
    )
    return series


def save_xdmf(out: MeshOutput, path: Path) -> Path:
    """The description, with its arrays in an HDF5 file beside it.

    Raises:
        ValueError: cells of degree 3 or more, which XDMF does not have.
    """
    import h5py
    from meshio.xdmf import TimeSeriesWriter

    if out.kind.startswith("VTK_LAGRANGE"):
        raise ValueError(
            f"{path}: XDMF has cells of degree 2 at most; write .vtu, or give cells=… for a mesh "
            "of straight ones"
        )
    writer = TimeSeriesWriter(path)
    # The writer would put its data under the same stem in the current folder.
    writer.h5_filename = f"{path.stem}_xdmf.h5"
    with h5py.File(path.with_name(writer.h5_filename), "w") as data:
        writer.h5_file = data
        writer.write_points_cells(out.points, [(out.kind, out.cells)])
        cell_data = {name: [values] for name, values in out.cell_data.items()}
        for i, t in enumerate(out.times):
            writer.write_data(float(t), point_data=out.point_data(i), cell_data=cell_data)
        writer.__exit__()
    return path
