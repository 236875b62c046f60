"""generate: solves problems of a family in batches, into a file that survives any interruption."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physml.surrogates._dataset import Dataset, load_dataset
from physml.surrogates._family import Family
from physml.surrogates._layout import Layout
from physml.surrogates._store import DatasetError, array_of, create, meta_of, open_file, store
from solvers import Method, SolverError
from solvers.spectral.fourier import Fourier

_BATCH = 20
_TRIED = 4
# What a file must agree on before samples are added to it.
_IDENTITY = ("family", "method", "method_options", "seed", "count", "layout", "chunk", "dtype")


def generate(
    family: Family,
    method: Method,
    count: int,
    path: str | Path,
    *,
    seed: int = 0,
    points: int | Sequence[int] | None = None,
    times: Sequence[float] | None = None,
    chunk: int | None = None,
    batched: bool | None = None,
    progress: bool = False,
) -> Dataset:
    """Solves the problems 0 … count − 1 of a seed by `method`, into an HDF5 file.

    A run that is killed at any moment and started again with the same arguments goes on where it
    was, and ends with the same numbers. A sample depends on the seed and its index alone; the
    size of a chunk changes it at round-off only.

    Arguments:
        points: of the uniform grid, one number or one a direction (128, 64² or 32³ by default).
        times: of the outputs, the end by default. chunk: samples solved and written at once.
        batched: solve a chunk as one compiled batch (jax.vmap), by default for Fourier methods;
            any method that can be traced may try. Others solve one after the other.
        progress: show a bar.

    Raises:
        DatasetError: the file belongs to another family, method, seed, grid or count, or is
            truncated. NotApplicable: the method can't solve these problems.
        SolverError: a sample's solver failed; names the sample. OSError: can't be written.
    """
    _check(family, method, count)
    path = Path(path)
    chunk = min(_BATCH if chunk is None else chunk, count)
    if not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk is a positive whole number, got {chunk!r}")
    method.check(family.template)
    layout = family.layout(points, times)
    meta = _meta(family, method, count, seed, layout, chunk)
    if path.exists():
        _check_file(path, meta)
    else:
        _create(path, family, meta, layout, count)
    with open_file(path, "r+") as file:
        done = array_of(file, "done")[:].astype(bool)
        starts = [s for s in range(0, count, chunk) if not done[s : s + chunk].all()]
        if starts:
            solver = _Batches(family, method, layout, seed, chunk, batched)
            with _bar(progress, len(starts), family.name) as step:
                for start in starts:
                    store(file, start, solver(range(start, min(start + chunk, count))))
                    step()
    return load_dataset(path)


class _Batches:
    """Solves some samples at once where the method can be compiled, else one after the other."""

    def __init__(self, family, method, layout: Layout, seed: int, size: int, batched: bool | None):
        self.family, self.layout = family, layout
        self.method = settled(family, method, layout, seed)
        self.seed, self.size = seed, size
        self.inputs = eqx.filter_jit(eqx.filter_vmap(self._input))
        self.outputs = eqx.filter_jit(eqx.filter_vmap(self._output))
        self.batched = isinstance(method, Fourier) if batched is None else batched

    def _nodes(self) -> jax.Array:
        return jnp.asarray(self.layout.nodes().reshape(-1, self.layout.dim))

    def _input(self, latent: dict[str, Any]) -> jax.Array:
        problem = self.family.build(latent)
        values = jax.vmap(lambda x: self.family.input_at(problem, x))(self._nodes())
        return values.reshape(*self.layout.points, -1)

    def _output(self, latent: dict[str, Any]) -> jax.Array:
        solution = self.method.solve(self.family.build(latent))
        return sample_outputs(solution, self.layout)

    def __call__(self, indices: range) -> dict[str, np.ndarray]:
        # Every batch has one size: one compilation, and the same arithmetic for each sample.
        padded = [*indices, *[indices[-1]] * (self.size - len(indices))]
        latents = self.family.latents(padded, self.seed)
        keep = len(indices)
        inputs = np.asarray(self.inputs(latents))[:keep]
        if self.batched:
            outputs = np.asarray(self.outputs(latents))[:keep]
            bad = ~np.isfinite(outputs).reshape(keep, -1).all(axis=1)
            for i in np.flatnonzero(bad):
                outputs[i] = self._alone(indices[int(i)])
        else:
            outputs = np.stack([self._alone(i) for i in indices])
        named = {f"latents/{key}": value[:keep] for key, value in latents.items()}
        return {"inputs": inputs, "outputs": outputs, **named}

    def _alone(self, index: int) -> np.ndarray:
        where = f"sample {index} of seed {self.seed} of the family {self.family.name!r}"
        try:
            solution = self.method.solve(self.family.problem(index, self.seed))
            values = np.asarray(_sample_jit(solution.representation, self.layout))
        except SolverError as error:
            message = str(error).split("] ", 1)[-1]
            raise SolverError(error.reason, f"{where}: {message}", error.history) from error
        if not np.isfinite(values).all():
            raise SolverError("not_finite", f"{where}: the solution is not finite on the grid")
        return values


def settled(family: Family, method: Method, layout: Layout, seed: int) -> Method:
    """The method with the choices made that it would try out for each problem alone.

    A Fourier method without a step takes the smallest that it chooses for the first problems, so
    that all samples can be solved together.
    """
    if not isinstance(method, Fourier) or layout.time is None:
        return method
    if method.dt is None:
        # With given frames the step is chosen for the state at the end alone.
        quick = dataclasses.replace(method, frames=method.frames or 2)
        first = [quick.solve(family.problem(i, seed)) for i in range(_TRIED)]
        method = dataclasses.replace(method, dt=min(s.stats.extra["dt"] for s in first))
    if method.frames is None and set(layout.times) <= set(layout.time):
        method = dataclasses.replace(method, frames=2)
    return method


def sample_outputs(solution: Any, layout: Layout) -> jax.Array:
    """A solution on the grid at the times, (frames, *points, components)."""
    return _sample(solution.representation, layout)


def _sample(representation: Any, layout: Layout) -> jax.Array:
    nodes = jnp.asarray(layout.nodes().reshape(-1, layout.dim))

    def at(x: jax.Array, t: jax.Array) -> jax.Array:
        values = representation.values(x, t)
        return jnp.concatenate([values[name].reshape(-1) for name in layout.outputs])

    times = jnp.asarray(layout.times, nodes.dtype)
    values = jax.lax.map(lambda t: jax.vmap(lambda x: at(x, t))(nodes), times)
    return values.reshape(len(layout.times), *layout.points, layout.components)


_sample_jit = eqx.filter_jit(_sample)


def _check(family: Any, method: Any, count: Any) -> None:
    if not isinstance(family, Family):
        raise TypeError(f"generate needs a pm.Family, got {family!r}")
    if not isinstance(method, Method):
        raise TypeError(f"generate needs a method such as pm.Fourier(), got {method!r}")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"count is a positive whole number of samples, got {count!r}")


def _meta(family, method, count, seed, layout: Layout, chunk) -> dict[str, Any]:
    import physml

    meta = {
        "family": family.describe(),
        "method": method.name,
        "method_options": options_of(method),
        "seed": seed,
        "count": count,
        "chunk": chunk,
        "dtype": str(np.dtype(jnp.result_type(float))),
        "layout": layout.to_json(),
        "units": "those of the problem",
        "versions": {
            "physml": physml.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return json.loads(json.dumps(meta))


def options_of(method: Method) -> str:
    """A method's options in words that are the same in every process."""
    arrays = {id(leaf) for leaf in jax.tree.leaves(method) if eqx.is_array(leaf)}
    parts = []
    for name, value in sorted(vars(method).items()):
        if id(value) in arrays:
            value = np.asarray(value).tolist()
        text = getattr(value, "__qualname__", None) if callable(value) else None
        parts.append(f"{name}={text or repr(value)}")
    text = f"{type(method).__name__}({', '.join(parts)})"
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _create(path: Path, family: Family, meta: dict[str, Any], layout: Layout, count: int) -> None:
    dtype = meta["dtype"]
    grid = layout.points
    arrays = {
        "inputs": ((count, *grid, layout.channels), dtype),
        "outputs": ((count, len(layout.times), *grid, layout.components), dtype),
        "done": ((count,), "uint8"),
    }
    for key, value in family.latent(0, meta["seed"]).items():
        arrays[f"latents/{key}"] = ((count, *value.shape), "float64")
    fixed = {f"axes/{i}": axis for i, axis in enumerate(layout.axes())}
    fixed["times"] = np.asarray(layout.times)
    create(path, meta, arrays, fixed)


def _check_file(path: Path, meta: dict[str, Any]) -> None:
    with open_file(path, "r") as file:
        found = meta_of(file)
    for key in _IDENTITY:
        if found.get(key) != meta[key]:
            got, want = _difference(found.get(key), meta[key])
            raise DatasetError(
                f"{path} holds samples with another {key.replace('_', ' ')}: {got} there, {want} "
                "asked for. Give another path, or delete the file"
            )


def _difference(got: Any, want: Any) -> tuple[Any, Any]:
    """The first part in which two descriptions differ."""
    if isinstance(got, str) and isinstance(want, str) and got[:1] == "{" == want[:1]:
        got, want = json.loads(got), json.loads(want)
    if isinstance(got, dict) and isinstance(want, dict):
        for key in [*want, *got]:
            if got.get(key) != want.get(key):
                a, b = _difference(got.get(key), want.get(key))
                return f"{key} {a}", f"{key} {b}"
    return got, want


class _bar:
    """A progress bar of rich where it was asked for."""

    def __init__(self, shown: bool, total: int, label: str):
        self.shown, self.total, self.label = shown, total, label
        self.progress: Any = None

    def __enter__(self):
        if not self.shown:
            return lambda: None
        from rich.progress import Progress

        self.progress = Progress()
        task = self.progress.add_task(f"{self.label}: solving", total=self.total)
        self.progress.start()
        return lambda: self.progress.advance(task)

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()
