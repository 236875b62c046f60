"""Solutions in files: HDF5 that `load` reads back, meshes for ParaView, lattices for xarray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pdes import Box
from solvers._solution import KnownTimes
from solvers.output._hdf5 import write_file, write_sample
from solvers.output._interpolate import Interpolated, continued
from solvers.output._mesh_files import mesh_output, save_vtu, save_xdmf
from solvers.output._sample import Sample, evaluate, sample

Floats = NDArray[np.floating]
SUFFIXES = (".h5", ".vtu", ".pvd", ".xdmf", ".nc")
SCHEMA, VERSION = "physml.solution", 1

_MOST_VALUES = 1_200_000
_TARGET = 1e-6


def save(
    solution: Any,
    path: str | Path,
    *,
    count: int | None = None,
    frames: int | None = None,
    cells: int | None = None,
    cell_data: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Writes a solution; the suffix chooses the format. Returns the file to open.

    Arguments:
        path: .h5 (samples on a lattice, read back by `load`), .vtu or .pvd (a file a frame and a
            .pvd that names them), .xdmf (with a .h5 beside it), .nc (needs xarray). Meshes have
            the finite elements' own cells, of their degree (in space at most 2), and the number
            of each cell's material as "region".
        count: points of the lattice; by default refined until cubic interpolation errs by less
            than 1e-6, within 1.2 million values; the error reached is kept in the file.
        frames: number of times. cells: cells along the longest side, for meshes of boxes of
            solutions without cells of their own.
        cell_data: arrays (cells, …) by name for meshes, such as an estimate's indicators.
        units: of coordinates and fields, {"x": "m", "t": "s", "u": "m s-1"}, for .h5 and .nc: the
            attribute `units` of each; "x" is that of y and z where these are not given.

    Raises:
        ValueError: another suffix, units of something unknown or in a mesh. ImportError: .nc
            without xarray. OSError: can't be written.
    """
    path = Path(path)
    writers = {".h5": _save_hdf5, ".nc": _save_netcdf}
    units = _units(solution, path, units or {})
    on_meshes = {".vtu": save_vtu, ".pvd": save_vtu, ".xdmf": save_xdmf}
    if path.suffix not in SUFFIXES:
        raise ValueError(f"can't write {str(path)!r}: the suffix is one of {', '.join(SUFFIXES)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in on_meshes:
            known = _known_times(solution)
            out = mesh_output(solution, known, frames, cells, cell_data)
            return on_meshes[path.suffix](out, path)
        return writers[path.suffix](solution, path, count, frames, units)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"{str(path)!r} can't be written: {reason}") from error


def _axis_names(dim: int) -> list[str]:
    return ["x", "y", "z"][:dim] if dim <= 3 else [f"x{i}" for i in range(dim)]


def _units(solution: Any, path: Path, units: Mapping[str, str]) -> dict[str, str]:
    """The units by name, that of "x" also for directions without one."""
    if units and path.suffix in (".vtu", ".pvd", ".xdmf"):
        raise ValueError(f"units go into .h5 and .nc files; {path.suffix} has no place for them")
    axes = _axis_names(solution.problem.dim)
    known = [*axes, "t", *solution.problem.shapes]
    for name in units:
        if name not in known:
            raise ValueError(f"units of {name!r}: there are {', '.join(known)}")
    common = {name: units["x"] for name in axes if "x" in units}
    return common | {name: str(unit) for name, unit in units.items()}


def _save_hdf5(solution, path: Path, count, frames, units: dict[str, str]) -> Path:
    taken, accuracy = _refined_sample(solution, count, frames)
    problem, stats = solution.problem, solution.stats
    description = {
        "schema": SCHEMA,
        "version": VERSION,
        "problem": problem.name,
        "method": taken.method,
        "options": " ".join(str(solution.method).split()),
        "fields": {name: list(shape) for name, shape in problem.shapes.items()},
        "time": problem.time,
        "volume": float(problem.domain.volume),
        "periodic": [bool(flag) for flag in problem.domain.periodic],
        "box": isinstance(problem.domain, Box),
        "exact_times": _known_times(solution) is not None,
        "interpolation": "piecewise cubic",
        "interpolation_error": accuracy,
        "stats": {
            "unknowns": int(stats.unknowns),
            "compile_seconds": float(stats.compile_seconds),
            "run_seconds": float(stats.run_seconds),
            "iterations": int(stats.iterations),
            "peak_memory": int(stats.peak_memory),
            "notes": [str(note) for note in stats.notes],
        },
    }

    def fill(file: Any) -> None:
        file.attrs["description"] = json.dumps(description)
        write_sample(file, taken)
        places = {name: f"axes/{i}" for i, name in enumerate(_axis_names(problem.dim))}
        places |= {"t": "times"} | {name: f"values/{name}" for name in taken.values}
        for name, place in places.items():
            file[place].attrs["long_name"] = name
            if name in units:
                file[place].attrs["units"] = units[name]

    return write_file(path, fill)


def _known_times(solution: Any) -> Floats | None:
    representation = solution.representation
    if not isinstance(representation, KnownTimes):
        return None
    known = representation.known_times()
    return None if known is None else np.asarray(known, float)


def _refined_sample(solution, count, frames) -> tuple[Sample, dict[str, float]]:
    """A sample with the largest relative error of its cubic interpolation at random points."""
    problem = solution.problem
    dim = problem.dim
    known = _known_times(solution)
    fixed = count is not None
    count = count or {1: 513, 2: 65**2, 3: 33**3}.get(dim, 10000)
    frames = 1 if problem.time is None else frames or {1: 33, 2: 17}.get(dim, 9)
    while True:
        taken = sample(solution, count, known, frames=frames)
        accuracy = _interpolation_error(solution, taken)
        size = sum(value.size for value in taken.values.values()) * 2**dim
        if problem.time is not None and known is None:
            size *= 2
        if fixed or max(accuracy.values()) <= _TARGET or size > _MOST_VALUES:
            return taken, accuracy
        count, frames = count * 2**dim, 2 * frames - 1


def _interpolation_error(solution, taken: Sample) -> dict[str, float]:
    problem = solution.problem
    points = problem.domain.sample_interior(257, seed=7)
    known = _known_times(solution)
    if problem.time is None:
        times = np.zeros(1)
    elif known is not None:
        times = known[:: max(1, len(known) // 5)]
    else:
        # Between the frames, above all the first and the last, where stencils are one-sided.
        middles = 0.5 * (taken.times[1:] + taken.times[:-1])
        times = middles[np.unique(np.linspace(0, len(middles) - 1, 9).round().astype(int))]
    truth = evaluate(solution.representation, points, times)
    guess = evaluate(interpolated(taken, known is not None), points, times)
    out = {}
    for name in taken.values:
        scale = float(np.abs(truth[name]).max()) or 1.0
        error = np.abs(guess[name] - truth[name])
        out[name] = float(np.nanmax(error) / scale) if np.isfinite(error).any() else float("inf")
    return out


def interpolated(taken: Sample, exact_times: bool) -> Interpolated:
    """The function that a sample stands for."""
    import jax.numpy as jnp

    dim = len(taken.lattice.axes)
    data = {}
    for name, value in taken.values.items():
        moved = np.moveaxis(value.reshape(*value.shape[:2], -1), 2, 1)
        spread = np.moveaxis(taken.lattice.spread(moved), 1, -1)
        if not taken.lattice.inside.all():
            spread = continued(spread, dim)
        data[name] = jnp.asarray(spread.reshape(*spread.shape[:-1], *value.shape[2:]))
    axes = tuple(jnp.asarray(axis) for axis in taken.lattice.axes)
    return Interpolated(axes, jnp.asarray(taken.times), data, exact_times)


def _save_netcdf(solution, path: Path, count, frames, units: dict[str, str]) -> Path:
    try:
        import xarray
    except ImportError:
        raise ImportError("NetCDF needs xarray: pip install 'physml[xarray]'") from None
    import importlib.util

    known = _known_times(solution)
    taken = sample(solution, count, known, frames=frames or 21)
    names = _axis_names(solution.problem.dim)
    arrays = {}
    for name, value in taken.values.items():
        moved = np.moveaxis(value.reshape(*value.shape[:2], -1), 2, 1)
        spread = taken.lattice.spread(moved)
        if value.ndim == 2:
            arrays[name] = (("t", *names), spread[:, 0])
        else:
            arrays[name] = (("t", f"{name}_component", *names), spread)
    coordinates = dict(zip(names, taken.lattice.axes, strict=True)) | {"t": taken.times}
    data = xarray.Dataset(
        arrays, coordinates, {"problem": taken.problem, "method": taken.method}
    )  # fmt: skip
    for name, unit in units.items():
        data[name].attrs["units"] = unit
    engine = "h5netcdf" if importlib.util.find_spec("h5netcdf") else None
    data.to_netcdf(path, engine=engine)
    return path
