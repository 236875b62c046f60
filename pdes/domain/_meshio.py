"""The one place that knows meshio: files to `Mesh` and back.

Facts about the formats: Gmsh stores names of physical groups with a dimension; Medit and others
store a reference number for each element; scikit-fem stores names as bit masks in cell data.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdes.domain._base import Floats
from pdes.domain._mesh import CELL_DIMENSION, Integers, Mesh
from pdes.domain._topology import Tagged, build_mesh

# meshio's kinds of cells: our shape, and whether it has the nodes of degree 2.
_KINDS = {
    "line": ("interval", 1),
    "triangle": ("triangle", 1),
    "quad": ("quadrilateral", 1),
    "tetra": ("tetrahedron", 1),
    "hexahedron": ("hexahedron", 1),
    "line3": ("interval", 2),
    "triangle6": ("triangle", 2),
    "quad9": ("quadrilateral", 2),
    "tetra10": ("tetrahedron", 2),
    "hexahedron27": ("hexahedron", 2),
}
_DIMENSIONS = {"vertex": 0, **{kind: CELL_DIMENSION[s] for kind, (s, _) in _KINDS.items()}}
_OTHER_DIMENSIONS = {"quad8": 2, "polygon": 2, "wedge": 3, "pyramid": 3, "hexahedron20": 3}
# From VTK's order, around the perimeter, to basix's, lexicographic; each its own inverse.
_TO_BASIX = {"quadrilateral": [0, 1, 3, 2], "hexahedron": [0, 1, 3, 2, 4, 5, 7, 6]}
# Nodes of degree 2 from meshio's (VTK's) order to basix's: corners, edges, faces, interior.
QUADRATIC = {
    "interval": [0, 1, 2],
    "triangle": [0, 1, 2, 4, 5, 3],
    "quadrilateral": [0, 1, 3, 2, 4, 7, 5, 6, 8],
    "tetrahedron": [0, 1, 2, 3, 9, 8, 5, 7, 6, 4],
    "hexahedron": [
        *(0, 1, 3, 2, 4, 5, 7, 6, 8, 11, 16, 9, 17, 10, 19, 18, 12, 15, 13, 14),
        *(24, 22, 20, 21, 23, 25, 26),
    ],
}
_CORNERS = {"interval": 2, "triangle": 3, "quadrilateral": 4, "tetrahedron": 4, "hexahedron": 8}
_TAGS = (
    *("gmsh:physical", "medit:ref", "su2:tag", "nastran:ref", "netgen:index", "cell_tags"),
    *("region", "material"),
)
# Facets of a cell as scikit-fem numbers the bits of its masks, in corners of a file's order.
_MASK_FACETS = {
    "triangle": ((0, 1), (1, 2), (0, 2)),
    "quadrilateral": ((0, 1), (1, 2), (2, 3), (0, 3)),
    "tetrahedron": ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)),
}


def read_mesh(path: str | Path, prefer: Sequence[str] = ()) -> Mesh:
    """A mesh from a file of any format that meshio reads.

    Arguments:
        prefer: names of groups of facets that win where groups overlap, before the file's order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, cut off, of an unknown format, has no cells, mixes kinds
            of cells, or holds a mesh that `build_mesh` refuses.
    """
    path = Path(path)
    raw = _read(path)
    return _convert(raw, str(path), prefer)


def _read(path: Path) -> Any:
    import meshio

    if not path.is_file():
        raise FileNotFoundError(f"no mesh file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the mesh file is empty")
    known = meshio.extension_to_filetypes.get(path.suffix.lower())
    if not known:
        raise ValueError(
            f"{path}: unknown mesh format {path.suffix!r}; meshio reads "
            f"{', '.join(sorted(meshio.extension_to_filetypes))}"
        )
    # A bare .msh would be tried as ANSYS first.
    name = "gmsh" if path.suffix.lower() == ".msh" else known[0]
    if name == "gmsh" and b"$EndElements" not in path.read_bytes():
        raise ValueError(
            f"{path}: not a complete gmsh file: its section of elements has no end; export it again"
        )
    said = io.StringIO()
    try:
        # meshio prints its warnings, and leaves the interpreter when it can't read a file.
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return meshio.read(path, file_format=name)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        reason = " ".join(said.getvalue().split()) or f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: not a complete {name} file, or of a version that meshio can't read "
            f"({reason[:200]}); export it again, as Gmsh 4.1 or 2.2, Medit or VTU"
        ) from error


def _convert(raw: Any, source: str, prefer: Sequence[str]) -> Mesh:
    blocks = [(i, block) for i, block in enumerate(raw.cells) if len(block.data)]
    if not blocks or len(raw.points) == 0:
        raise ValueError(f"{source}: the mesh has no cells")
    kinds = {block.type for _, block in blocks}
    dimension = max(_DIMENSIONS.get(k, _OTHER_DIMENSIONS.get(k, 3)) for k in kinds)
    volume = {k for k in kinds if _DIMENSIONS.get(k, _OTHER_DIMENSIONS.get(k, 3)) == dimension}
    if dimension == 0:
        raise ValueError(f"{source}: the mesh has no cells, only points")
    unsupported = sorted(k for k in volume if k not in _KINDS)
    if unsupported:
        raise ValueError(
            f"{source}: cells of kind {unsupported[0]!r} are not supported; supported are "
            f"{', '.join(_KINDS)}"
        )
    if len(volume) > 1:
        counts = {k: sum(len(b.data) for _, b in blocks if b.type == k) for k in sorted(volume)}
        told = " and ".join(f"{n} {k}" for k, n in counts.items())
        raise ValueError(
            f"{source}: the mesh mixes {told} cells; meshes with cells of several kinds are not "
            "supported yet. Mesh again with one kind: in Gmsh switch 'Recombine' off for "
            "triangles and tetrahedra"
        )
    kind = volume.pop()
    shape, degree = _KINDS[kind]
    points = _flatten(np.asarray(raw.points, float), dimension, source)
    nodes = np.concatenate([b.data for _, b in blocks if b.type == kind]).astype(int)
    corners = nodes[:, : _CORNERS[shape]]
    tagged = _tagged_facets(raw, blocks, dimension)
    tagged += _mask_facets(raw, kind, shape, corners)
    known = {t.name for t in tagged}
    missing = [name for name in prefer if name not in known]
    if missing:
        raise ValueError(
            f"{source}: no boundary or physical group {missing[0]!r}; the file has {sorted(known)}"
        )
    tagged.sort(key=lambda t: list(prefer).index(t.name) if t.name in prefer else len(prefer))
    regions, names = _regions(raw, kind, blocks, dimension)
    geometry = None
    if degree == 2:
        geometry = points[nodes[:, QUADRATIC[shape]]]
    order = _TO_BASIX.get(shape)
    cells = corners if order is None else corners[:, order]
    return build_mesh(points, cells, shape, tagged, regions, names, geometry, source)


def _flatten(points: Floats, dimension: int, source: str) -> Floats:
    """Drops the coordinates with which flat meshes are padded to three."""
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise ValueError(f"{source}: point {bad} has coordinates {points[bad].tolist()}")
    extent = np.ptp(points, axis=0)
    if (extent[dimension:] > 1e-9 * max(float(extent.max()), 1e-300)).any():
        raise ValueError(
            f"{source}: cells of dimension {dimension} in {points.shape[1]} dimensions; surfaces "
            "and curves in space are not supported. Save the volume cells too"
        )
    return np.ascontiguousarray(points[:, :dimension])


def _tagged_facets(raw: Any, blocks: list, dimension: int) -> list[Tagged]:
    """Groups of facets in the file: corners, and name of each group."""
    found: list[Tagged] = []
    names = {
        (int(tag), int(dim)): name
        for name, (tag, dim) in ((n, np.asarray(d).ravel()[:2]) for n, d in raw.field_data.items())
    }
    for i, block in blocks:
        if _DIMENSIONS.get(block.type) != dimension - 1:
            continue
        count = 1 if dimension == 1 else _CORNERS[_KINDS[block.type][0]]
        corners = np.asarray(block.data)[:, :count].astype(int)
        key = next((k for k in _TAGS if k in raw.cell_data), None)
        if key is not None:
            tags = np.asarray(raw.cell_data[key][i]).astype(int).ravel()
            for tag in np.unique(tags[tags != 0]):
                name = names.get((int(tag), dimension - 1), str(tag))
                found.append(Tagged(name, corners[tags == tag]))
        for name, rows in raw.cell_sets.items():
            chosen = rows[i] if i < len(rows) else None
            if name.startswith("gmsh:") or chosen is None or not len(chosen):
                continue
            found.append(Tagged(name, corners[np.asarray(chosen).astype(int)]))
    return found


def _mask_facets(raw: Any, kind: str, shape: str, corners: Integers) -> list[Tagged]:
    found: list[Tagged] = []
    local = _MASK_FACETS.get(shape)
    for key in raw.cell_data:
        if not key.startswith("skfem:b:") or local is None:
            continue
        values = [
            np.asarray(d).ravel()
            for block, d in zip(raw.cells, raw.cell_data[key], strict=True)
            if block.type == kind
        ]
        masks = np.concatenate(values).astype(int)
        # Simplices are sorted by scikit-fem before their facets are numbered.
        ordered = corners if shape == "quadrilateral" else np.sort(corners, axis=1)
        facets = [ordered[(masks >> bit) & 1 == 1][:, list(f)] for bit, f in enumerate(local)]
        found.append(Tagged(key.split(":", 2)[2], np.concatenate(facets)))
    return found


def _regions(raw: Any, kind: str, blocks: list, dimension: int) -> tuple[Integers, tuple[str, ...]]:
    chosen = [i for i, block in blocks if block.type == kind]
    total = sum(len(raw.cells[i].data) for i in chosen)
    masks = {
        key.split(":", 2)[2]: np.concatenate([np.ravel(data[i]) for i in chosen]) != 0
        for key, data in raw.cell_data.items()
        if key.startswith("skfem:s:")
    }
    key = next((k for k in _TAGS if k in raw.cell_data), None)
    if masks:
        labels = np.full(total, "", object)
        for name, mask in masks.items():
            labels[mask] = name
    elif key is not None:
        names = {
            int(np.ravel(d)[0]): name
            for name, d in raw.field_data.items()
            if int(np.ravel(d)[1]) == dimension
        }
        tags = np.concatenate([np.ravel(raw.cell_data[key][i]) for i in chosen]).astype(int)
        labels = np.array([names.get(int(t), str(t)) if t else "" for t in tags], object)
    else:
        labels = np.full(total, "", object)
        start = 0
        for i in chosen:
            for name, rows in raw.cell_sets.items():
                if not name.startswith("gmsh:") and i < len(rows) and rows[i] is not None:
                    labels[start + np.asarray(rows[i], int)] = name
            start += len(raw.cells[i].data)
    if not any(labels):
        return np.zeros(total, int), ()
    labels[labels == ""] = "untagged"
    found = tuple(dict.fromkeys(labels.tolist()))
    index = {name: i for i, name in enumerate(found)}
    return np.array([index[name] for name in labels]), found


def write_mesh(
    path: str | Path,
    mesh: Mesh,
    point_data: Mapping[str, Any] | None = None,
    cell_data: Mapping[str, Any] | None = None,
    file_format: str | None = None,
) -> None:
    """Writes a mesh with fields on its points and cells: VTU, XDMF, Gmsh and what meshio writes.

    Arguments:
        point_data: arrays (points, …) by name. cell_data: arrays (cells, …) by name.

    Raises:
        ValueError: data of the wrong length, or a suffix that no format has.
    """
    import meshio

    order = _TO_BASIX.get(mesh.shape)
    cells = mesh.cells if order is None else mesh.cells[:, order]
    padded = np.zeros((len(mesh.points), 3))
    padded[:, : mesh.dim] = mesh.points
    kind = next(k for k, (shape, degree) in _KINDS.items() if shape == mesh.shape and degree == 1)
    on_points: dict[str, Any] = {k: np.asarray(v) for k, v in (point_data or {}).items()}
    on_cells: dict[str, Any] = {k: np.asarray(v) for k, v in (cell_data or {}).items()}
    for what, data, count in (("point", on_points, len(padded)), ("cell", on_cells, len(cells))):
        for name, values in data.items():
            if len(values) != count:
                raise ValueError(
                    f"{what} data {name!r} has {len(values)} values; the mesh has {count} {what}s"
                )
    out = meshio.Mesh(
        padded,
        [(kind, cells)],
        point_data=on_points,
        cell_data={k: [v] for k, v in on_cells.items()},
    )
    path = Path(path)
    if file_format is None and path.suffix.lower() == ".msh":
        file_format = "gmsh"
    try:
        meshio.write(path, out, file_format=file_format)
    except meshio.WriteError as error:
        raise ValueError(f"{path}: {error}") from error
