"""Spectra, energy, dissipation and correlations of fields on periodic boxes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pdes import Box
from solvers._result import NotApplicable
from solvers._solution import Solution
from solvers.spectral._symbol import wavenumbers
from solvers.spectral.fourier_pointwise import forward
from solvers.spectral.fourier_solution import FourierFunctions


def spectrum(
    solution: Solution, field: str, t: Any = None, points: int | None = None
) -> tuple[Array, Array]:
    """Energy by wavenumber, (k, E): E(kₙ) = ½ Σ |û|² over the shell n − ½ ≤ |k|/k₀ < n + ½.

    Σₙ E(kₙ) = ½⟨|u|²⟩, the mean over the box, all components together (Parseval).

    Arguments:
        field: of any shape. t: by default the end. points: in each direction, for a solution by
            another method than `Fourier`, which is sampled; by default 128 in 1-D, 64 otherwise.

    Returns:
        k (shells,), the multiples of k₀ = 2π / (the longest side); E (shells,). The corners of the
        box of wavenumbers belong to the last shell.

    Raises:
        NotApplicable: a domain that is not periodic in every direction. KeyError: no such field.
    """
    density, k, lengths = _power(solution, field, t, points)
    unit = 2 * np.pi / max(lengths)
    size = np.sqrt(np.sum(k**2, axis=0)) / unit
    most = int(max(np.abs(k[i]).max() for i in range(len(k))) / unit + 1e-9)
    shell = np.minimum(np.floor(size + 0.5).astype(int), most)
    total = jnp.zeros(most + 1, density.dtype).at[shell.ravel()].add(density.ravel())
    return unit * jnp.arange(most + 1), total


def energy(solution: Solution, field: str, t: Any = None, points: int | None = None) -> Array:
    """½⟨|u|²⟩, the mean over the box; arguments as of `spectrum`."""
    return jnp.sum(_power(solution, field, t, points)[0])


def dissipation(solution: Solution, field: str, t: Any = None, points: int | None = None) -> Array:
    """⟨|∇u|²⟩, the mean over the box; arguments as of `spectrum`.

    Where ∂u/∂t = … + ν∇²u, energy is lost at the rate ν⟨|∇u|²⟩. For a vorticity, ½⟨ω²⟩ is the
    enstrophy and this the rate of its loss; for a solenoidal velocity it is ⟨|ω|²⟩.
    """
    density, k, _ = _power(solution, field, t, points)
    return 2.0 * jnp.sum(jnp.asarray(np.sum(k**2, axis=0), density.dtype) * density)


def autocorrelation(
    solution: Solution, field: str, t: Any = None, points: int | None = None, axis: int = 0
) -> tuple[Array, Array]:
    """(r, C): C(r) = ⟨u′(x)·u′(x + r eᵢ)⟩ / ⟨|u′|²⟩ along one axis, u′ = u − ⟨u⟩.

    Returns:
        r (n/2 + 1,), from 0 to half a period; C likewise, with C(0) = 1 (Wiener & Khinchin).
    """
    density, k, lengths = _power(solution, field, t, points)
    density = density.at[(0,) * density.ndim].set(0.0)
    along = jnp.asarray(k[axis], density.dtype)
    count = 2 * round(float(np.abs(k[axis]).max()) * lengths[axis] / (2 * np.pi))
    r = (lengths[axis] / count) * jnp.arange(count // 2 + 1, dtype=density.dtype)
    c = jax.vmap(lambda r: jnp.sum(density * jnp.cos(along * r)))(r)
    return r, c / jnp.maximum(c[0], jnp.finfo(c.dtype).tiny)


def _power(
    solution: Solution, field: str, t: Any, points: int | None
) -> tuple[Array, NDArray[np.floating], tuple[float, ...]]:
    """½|û|² of each mode of a real transform, those left out counted; wavenumbers; side lengths."""
    problem = solution.problem
    if field not in problem.shapes:
        raise KeyError(f"no field {field!r}; this solution has {sorted(problem.shapes)}")
    domain = problem.domain
    if not isinstance(domain, Box) or not all(domain.periodic):
        raise NotApplicable(
            f"spectra need a box that is periodic in every direction, got {problem.name!r} on "
            f"{type(domain).__name__}; integrate what is of interest by solution.integrate"
        )
    low, high = (np.asarray(v, float) for v in domain.bounds)
    lengths = tuple(float(v) for v in high - low)
    when = t if t is not None else 0.0 if problem.time is None else problem.time[1]
    functions = solution.representation
    if isinstance(functions, FourierFunctions):
        plan = functions.plan
        shape, components = plan.points, plan.layout.components(field)
        transforms = functions.series(when)[components.start : components.stop]
    else:
        count = points or (128 if problem.dim == 1 else 64)
        shape = (count,) * problem.dim
        axes = [a + s * np.arange(count) / count for a, s in zip(low, lengths, strict=True)]
        x = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        values = solution[field](x.reshape(-1, problem.dim), when)
        transforms = forward(jnp.moveaxis(values.reshape(*shape, -1), -1, 0))
    # Modes with a negative last wavenumber are not kept, but for those that are their own.
    twice = np.full(transforms.shape[1:], 2.0)
    twice[..., [0, -1]] = 1.0
    power = jnp.sum(jnp.abs(transforms) ** 2, axis=0) / float(np.prod(shape)) ** 2
    return 0.5 * jnp.asarray(twice, power.dtype) * power, wavenumbers(shape, lengths), lengths
