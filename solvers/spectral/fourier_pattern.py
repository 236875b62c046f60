"""Which entries of a Fourier discretisation's small matrices are zero, one or real.

Read off the matrices at a few random wavenumbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import eval_context

from pdes import PDE
from solvers._result import NotApplicable
from solvers.spectral._symbol import SIGNS, Layout, Maps, coefficients, maps_at

# One entry of a sparse map: row, column, and "1" (exactly one), "r" (real) or "c" (complex).
Entry = tuple[int, int, str]
Pattern = tuple[Entry, ...]


class Sample:
    """The maps at a few random wavenumbers, from which patterns are read.

    Attributes:
        maps: `Maps` of NumPy arrays, None where nothing is known. k: (dim, samples).
    """

    def __init__(self, maps: Any, k: np.ndarray, layout: Layout):
        self.maps, self.k, self.layout = maps, k, layout
        self.commuting = self._commutes()

    def _commutes(self) -> bool:
        if self.maps is None or not self.layout.multipliers:
            return False
        p = np.moveaxis(self.maps.projection, -1, 0)
        a = np.moveaxis(self.maps.unprojected, -1, 0)
        close = 1e-12 if a.dtype == np.complex128 else 1e-6
        return bool(np.abs(p @ a - a @ p).max() <= close * max(np.abs(a).max(), 1e-30))

    def uniform(self) -> bool:
        """Whether L is a multiple of the identity at every wavenumber."""
        if self.maps is None:
            return False
        maps = self.maps.unprojected if self.commuting else self.maps.linear
        matrices = np.moveaxis(maps, (0, 1), (-2, -1))
        size = matrices.shape[-1]
        scale = np.abs(matrices).max(initial=0.0)
        close = 1e-13 if matrices.dtype == np.complex128 else 1e-6
        multiples = matrices[..., :1, :1] * np.eye(size)
        return size > 1 and bool(np.abs(matrices - multiples).max() <= close * scale)

    def plain(self, choose: Callable[[Any], Any]) -> Pattern:
        """Pattern of one of the maps."""
        s, n = self.layout.state_size, self.layout.total
        if self.maps is None:
            size = jax.eval_shape(choose, _shapes(s, n, self.layout)).shape
            return tuple((i, j, "c") for i in range(size[0]) for j in range(size[1]))
        return read_pattern(choose(self.maps))

    def pattern(self, choose, columns, kinds) -> Pattern:
        """Pattern of a map from transforms, `columns`, through the rows that they feed."""
        if not columns:
            return ()
        s, n = self.layout.state_size, self.layout.total
        if self.maps is None:
            size = jax.eval_shape(lambda m: choose(m, None), _shapes(s, n, self.layout)).shape
            return tuple((i, j, "c") for i in range(size[0]) for j in range(len(columns)))
        rows = row_map(columns, kinds, self.k)
        return read_pattern(np.einsum("ij...,jk...->ik...", choose(self.maps, self.k), rows))


def _shapes(s: int, n: int, layout: Layout) -> Maps:
    def array(*shape: int) -> Any:
        return jax.ShapeDtypeStruct((*shape, 1), jnp.result_type(complex))

    m = len(layout.multipliers)
    return Maps(
        array(s, s), array(s, s), array(s, s), array(s, n), array(n, s), array(n, n), array(m, m)
    )


def sample_maps(pde: PDE, layout: Layout) -> Sample:
    k = np.random.default_rng(7).uniform(0.5, 2.0, (layout.dim, 5))
    k *= np.array([1.0, -1.0, 1.0, 1.0, -1.0]) ** np.arange(1, layout.dim + 1)[:, None]
    k = k.astype(jnp.result_type(float))
    try:
        # Also under a trace. (In `jax.ensure_compile_time_eval` what is constant in the program
        # would be evaluated operation by operation.)
        with eval_context():
            maps = _maps(pde, layout, k)
        return Sample(jax.tree.map(np.asarray, maps), k, layout)
    except (
        jax.errors.TracerArrayConversionError,
        jax.errors.ConcretizationTypeError,
        jax.errors.UnexpectedTracerError,
    ):
        # A coefficient closes over a traced value: nothing can be said of any entry.
        return Sample(None, k, layout)


@eqx.filter_jit
def _maps(pde: PDE, layout: Layout, k: Any) -> Maps:
    """As one program: operation by operation these would be hundreds."""
    return maps_at(coefficients(pde.forms(layout.dim), layout), layout, jnp.asarray(k))


def read_pattern(dense: np.ndarray) -> Pattern:
    """Entries of (rows, columns, samples) that are not zero, with what is known of them."""
    scale = np.abs(dense).max(initial=0.0)
    precise = 1e-13 if dense.dtype == np.complex128 else 1e-6
    entries = []
    for i in range(dense.shape[0]):
        for j in range(dense.shape[1]):
            values = dense[i, j]
            size = np.abs(values).max(initial=0.0)
            if size <= 0.1 * precise * scale or size == 0:
                continue
            if np.abs(values - 1.0).max() <= precise:
                entries.append((i, j, "1"))
            elif np.abs(values.imag).max() <= precise * size:
                entries.append((i, j, "r"))
            else:
                entries.append((i, j, "c"))
    return tuple(entries)


def row_map(columns: Any, kinds: tuple[str, ...], k: Any) -> Any:
    """(n, transforms, *grid): what each transform adds to the right-hand side of each row.

    In NumPy where `k` is an array of NumPy.
    """
    space = np if isinstance(k, np.ndarray) else jnp
    shape = (len(kinds), len(columns), *k.shape[1:])
    nothing = space.zeros(shape[2:], jnp.result_type(k.dtype, 1j))
    entries = [[nothing for _ in columns] for _ in kinds]
    for column, feeds in enumerate(columns):
        for (row, direction), sign in feeds:
            flux, source = SIGNS[kinds[row]]
            entry = sign * source if direction < 0 else sign * flux * 1j * k[direction]
            entries[row][column] = entries[row][column] + entry
    flat = [entry for row in entries for entry in row]
    return space.stack(flat).reshape(shape) if flat else space.zeros(shape, nothing.dtype)


def check_closure(sample: Sample, layout: Layout) -> None:
    if not layout.multipliers or sample.maps is None:
        return
    m = sample.maps
    if np.abs(m.closure).max(initial=0.0) > 1e-10:
        raise NotApplicable(
            "a constraint contains its own multiplier, and is no projection; use pm.FiniteElement"
        )
    if not np.isfinite(m.projection).all():
        raise NotApplicable(
            "the constraints do not act on the fields that evolve; use pm.FiniteElement"
        )
