"""Trajectories in the HDF5 layouts of PDEBench: initial data and references from others' files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pdes import Problem
from solvers._solution import Solution, Stats
from solvers.output._interpolate import Interpolated, continued

Floats = NDArray[np.floating]

_AXES = ("x", "y", "z")
# Nodes beyond the first and the last cell centre, for a cubic there and at the boundary.
_LAYERS = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """Samples of one PDE on a lattice of cell centres, by time: what a PDEBench file holds.

    Read one sample at a time; nothing else is kept in memory.

    Attributes:
        path: the file. fields: their names in it: of data sets, or "data0", "data1", … for the
            components of one. axes: coordinates in each direction. times: (frames,).
        samples: how many. coefficients: names of data that no time belongs to ("nu" of Darcy).
    """

    path: Path
    fields: tuple[str, ...]
    axes: tuple[Floats, ...]
    times: Floats
    samples: int
    coefficients: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.samples

    @property
    def dim(self) -> int:
        return len(self.axes)

    def values(self, sample: int, field: str) -> Floats:
        """One field of one sample, (frames, *lattice); a coefficient has the lattice's shape.

        Raises:
            IndexError: no such sample. KeyError: no such field.
        """
        if not 0 <= sample < self.samples:
            raise IndexError(f"sample {sample} of {self.path.name}, which has {self.samples}")
        if field not in (*self.fields, *self.coefficients):
            known = [*self.fields, *self.coefficients]
            raise KeyError(f"no field {field!r} in {self.path.name}; it has {known}")
        with h5py.File(self.path, "r") as file:
            if field in file:
                found = np.asarray(file[field][sample], float)  # type: ignore[index]
                return found.reshape(-1, *self._size)[0] if field in self.coefficients else found
            group = file[sorted(_numbered(file))[sample]]
            return np.asarray(group["data"][..., int(field[4:])], float)  # type: ignore[index]

    @property
    def _size(self) -> tuple[int, ...]:
        return tuple(len(axis) for axis in self.axes)

    def initial(self, sample: int, names: Mapping[str, Any], periodic: Any = True) -> dict:
        """Initial data for a Problem: functions of x by piecewise cubic interpolation.

        Arguments:
            names: for each field of the problem the field here, or one for each component.
            periodic: whether the directions are, one flag or one each: else the data are
                continued by cubics up to the boundary.
        """
        data = self._block(sample, names, periodic, slice(0, 1))

        def start(name: str) -> Callable[[Array], Array]:
            return lambda x: data.values(x, jnp.zeros((), x.dtype))[name]

        return {name: start(name) for name in names}

    def reference(self, problem: Problem, sample: int, names: Mapping[str, Any]) -> Solution:
        """The sample as a solution of the problem, for `pm.compare(…, reference=…)` and plots.

        Between frames and cell centres piecewise cubic: its error is at least theirs.

        Raises:
            ValueError: fields or dimensions that do not match.
        """
        if problem.dim != self.dim or set(names) != set(problem.shapes):
            raise ValueError(
                f"{problem.name!r} has the fields {sorted(problem.shapes)} in {problem.dim} "
                f"dimensions; {self.path.name} has {list(self.fields)} in {self.dim}, of which "
                f"names={dict(names)!r} were asked for: give one for each field of the problem"
            )
        frames = slice(0, 1) if problem.steady else slice(None)
        found = self._block(sample, names, problem.domain.periodic, frames)
        return Solution(problem, found, _File(self.path.name), Stats(unknowns=0))

    def _block(
        self, sample: int, names: Mapping[str, Any], periodic: Any, frames: slice
    ) -> Interpolated:
        flags = np.broadcast_to(np.asarray(periodic, bool), (self.dim,)).tolist()
        data = {}
        for name, source in names.items():
            several = not isinstance(source, str)
            parts = [self.values(sample, one)[frames] for one in (source if several else (source,))]
            wide = [_wider(part, flags) for part in parts]
            data[name] = jnp.asarray(np.stack(wide, -1) if several else wide[0])
        axes = tuple(jnp.asarray(_longer(axis)) for axis in self.axes)
        return Interpolated(axes, jnp.asarray(self.times[frames]), data, False)


@dataclasses.dataclass(frozen=True)
class _File:
    """Stands where a solution has its method."""

    name: str


def _longer(axis: Floats) -> Floats:
    beyond = np.arange(1, _LAYERS + 1)
    first, last = axis[0] - (axis[1] - axis[0]) * beyond[::-1], axis[-1]
    return np.concatenate([first, axis, last + (axis[-1] - axis[-2]) * beyond])


def _wider(values: Floats, periodic: list[bool]) -> Floats:
    """(frames, *lattice) with some layers on all sides: repeated, or continued by cubics."""
    for axis, flag in enumerate(periodic):
        pads = [(0, 0)] * values.ndim
        pads[axis + 1] = (_LAYERS, _LAYERS)
        if flag:
            values = np.pad(values, pads, mode="wrap")
        else:
            values = np.pad(values, pads, constant_values=np.nan)
    return continued(values, len(periodic), _LAYERS * len(periodic))


def read_pdebench(path: str | Path) -> Trajectories:
    """A file in one of PDEBench's HDF5 layouts.

    - "tensor" (samples, frames, x, …) with "x-coordinate", …, "t-coordinate" (advection, Burgers,
      reaction–diffusion in one dimension); with "nu" (samples, x, y) for Darcy flow;
    - "density", "pressure", "Vx", … (samples, frames, x, …), the same coordinates (gas);
    - a group for each sample, "0000/data" (frames, x, …, components), "0000/grid/x", …
      (diffusion–reaction and shallow water in the plane).

    A last time that no frame belongs to, as those files have it, is left out.
    Source: Takamoto et al. (2022).

    Raises:
        FileNotFoundError: no such file. ValueError: another layout, or a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file, or a damaged one ({error})") from None
    with file:
        groups = sorted(_numbered(file))
        if groups:
            return _by_group(path, file[groups[0]], len(groups))
        if "x-coordinate" in file:
            return _by_field(path, file)
        raise ValueError(
            f'{path}: no layout of PDEBench: expected "x-coordinate" beside data sets, or groups '
            f'"0000" with "data" and "grid"; the file has {sorted(file)[:8]}'
        )


def _numbered(file: Any) -> list[str]:
    return [name for name in file if name.isdigit() and "data" in file[name]]


def _by_field(path: Path, file: Any) -> Trajectories:
    axes = tuple(
        np.asarray(file[f"{a}-coordinate"], float) for a in _AXES if f"{a}-coordinate" in file
    )
    size = tuple(len(axis) for axis in axes)
    fields, coefficients, shape = [], [], (0, 0)
    for name in sorted(file):
        if name.endswith("-coordinate"):
            continue
        found = file[name].shape
        if found[1:] == size:
            coefficients.append(name)
        elif len(found) == len(size) + 2 and found[2:] == size:
            fields.append(name)
            shape = found[:2]
    if not fields:
        found = {name: file[name].shape for name in sorted(file)}
        raise ValueError(
            f"{path}: no data set of shape (samples, frames, {', '.join(map(str, size))}); the "
            f"file has {found}"
        )
    times = np.arange(shape[1], dtype=float)
    if "t-coordinate" in file:
        times = np.asarray(file["t-coordinate"], float)[: shape[1]]
    return Trajectories(path, tuple(fields), axes, times, shape[0], tuple(coefficients))


def _by_group(path: Path, group: Any, samples: int) -> Trajectories:
    axes = tuple(np.asarray(group[f"grid/{a}"], float) for a in _AXES if f"grid/{a}" in group)
    shape = group["data"].shape
    expected = tuple(len(axis) for axis in axes)
    if shape[1:-1] != expected:
        raise ValueError(
            f"{path}: data of shape {shape}, expected (frames, {expected}, components) by its grid"
        )
    times = np.asarray(group["grid/t"], float)[: shape[0]]
    return Trajectories(path, tuple(f"data{i}" for i in range(shape[-1])), axes, times, samples)
