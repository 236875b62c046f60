"""load: a saved solution as a function of x and t again; nothing in the file is run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import numpy as np
from numpy.typing import NDArray

from solvers._solution import FieldFunction, Representation, Stats
from solvers.output._files import SCHEMA, VERSION, interpolated
from solvers.output._hdf5 import read_sample
from solvers.output._sample import Lattice

Floats = NDArray[np.floating]


@dataclasses.dataclass(frozen=True, eq=False)
class SavedDomain:
    """What a file keeps of a domain: enough to sample and draw.

    Attributes:
        lattice: points with those inside marked. volume, periodic: of the domain. box: whether
            it is the whole lattice.
    """

    lattice: Lattice
    volume: float
    periodic: tuple[bool, ...]
    box: bool

    @property
    def dim(self) -> int:
        return len(self.lattice.axes)

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        axes = self.lattice.axes
        return np.array([axis[0] for axis in axes]), np.array([axis[-1] for axis in axes])

    def contains(self, x: Floats, tolerance: float = 1e-12) -> NDArray[np.bool_]:
        """Whether the nearest point of the lattice is inside: the boundary is known to half a
        spacing."""
        low, high = self.bounds
        slack = tolerance * (high - low)
        within = np.all((x >= low - slack) & (x <= high + slack), axis=1)
        if self.box:
            return within
        index = [
            np.abs(axis[None] - x[:, i, None]).argmin(axis=1)
            for i, axis in enumerate(self.lattice.axes)
        ]
        return within & self.lattice.inside[tuple(index)]


@dataclasses.dataclass(frozen=True, eq=False)
class SavedProblem:
    """What a file keeps of a problem: no equations."""

    name: str
    domain: SavedDomain
    time: tuple[float, float] | None
    shapes: dict[str, tuple[int, ...]]

    @property
    def dim(self) -> int:
        return self.domain.dim

    @property
    def steady(self) -> bool:
        return self.time is None


class Loaded(eqx.Module):
    """A saved solution: `loaded["u"](x, t)` by cubic interpolation of its samples.

    Attributes:
        problem: name, domain, time and fields. method: the method's name. stats: what it cost.
        interpolation_error: for each field, the largest error of the interpolation relative to
            the field's size, measured at random points when the file was written.
    """

    problem: SavedProblem = eqx.field(static=True)
    representation: Representation
    method: str = eqx.field(static=True)
    stats: Stats = eqx.field(static=True)
    interpolation_error: dict[str, float] = eqx.field(static=True)

    def __getitem__(self, field: str) -> FieldFunction:
        if field not in self.problem.shapes:
            raise KeyError(f"no field {field!r}; this solution has {sorted(self.problem.shapes)}")
        return FieldFunction(self.representation, field, self.problem.dim)

    def plot(self, field: str | None = None, t: float | None = None) -> Any:
        """See `Solution.plot`."""
        from solvers.output._plot import plot

        return plot(self, field, t)

    def animate(self, path: str | Path, field: str | None = None, frames: int = 60) -> Path:
        """See `Solution.animate`."""
        from solvers.output._animate import animate

        return animate(self, path, field, frames)


def load(path: str | Path) -> Loaded:
    """A solution that `Solution.save("….h5")` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, a damaged one, or one of a newer version.
    """
    path = Path(path)
    if path.is_dir():
        raise FileNotFoundError(
            f"{str(path)!r} is a folder: name the .h5 file of one solution in it; a folder that "
            "pm.compare wrote is read by pm.Comparison.load"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not an HDF5 file, or a damaged one ({error})") from None
    with file:
        text = file.attrs.get("description")
        description = json.loads(text) if isinstance(text, str) else {}
        if description.get("schema") != SCHEMA:
            raise ValueError(f"{path}: not a solution that physml saved")
        if description.get("version") != VERSION:
            raise ValueError(
                f"{path}: version {description.get('version')} of the format, this physml reads "
                f"{VERSION}"
            )
        try:
            taken = read_sample(file)
        except OSError as error:
            raise ValueError(f"{path}: a damaged file ({error})") from None
    domain = SavedDomain(
        taken.lattice, description["volume"], tuple(description["periodic"]), description["box"]
    )
    time = None if description["time"] is None else tuple(description["time"])
    shapes = {name: tuple(shape) for name, shape in description["fields"].items()}
    stats = description["stats"]
    stats["notes"] = tuple(stats["notes"])
    return Loaded(
        SavedProblem(description["problem"], domain, time, shapes),
        interpolated(taken, description["exact_times"]),
        description["method"],
        Stats(**stats),
        description["interpolation_error"],
    )
