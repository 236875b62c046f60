"""Eigenvalues under jax.jit and jax.grad: found on the host, with exact first derivatives.

λ̇ = wᴴ(J̇ − λ Ṁ) v / wᴴM v, w the left eigenvector.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg as sla
from jaxtyping import Array

from solvers._host_call import HostFunction, host_call
from solvers._pencil import finite_eigenvalues


@dataclasses.dataclass(frozen=True)
class _Nearest(HostFunction):
    """The modes chosen of several pencils: λ, v, w with wᴴM v = 1, and which pencil."""

    count: int
    target: complex | None
    doubled: tuple[bool, ...]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        jacobians, masses = arrays
        found = []
        for k, (jacobian, mass) in enumerate(zip(jacobians, masses, strict=True)):
            used = np.any(jacobian, 0) | np.any(jacobian, 1) | np.any(mass, 1)
            places = np.ix_(used, used)
            values, vectors = finite_eigenvalues(jacobian[places], mass[places])
            for value, vector in zip(values, vectors.T, strict=True):
                full = np.zeros(len(used), complex)
                full[used] = vector
                found.append((complex(value), full, k, False))
                if self.doubled[k]:
                    found.append((complex(np.conj(value)), full, k, True))
        keys = [
            -value.real if self.target is None else abs(value - self.target) for value, *_ in found
        ]
        chosen = [found[i] for i in np.argsort(keys, kind="stable")[: self.count]]
        rows = [self._row(jacobians[k], masses[k], value, v, k, c) for value, v, k, c in chosen]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    @staticmethod
    def _row(jacobian, mass, value, v, k, conjugate):
        own = np.conj(value) if conjugate else value
        # The null vector of the transposed pencil, by inverse iteration with the same shift.
        shifted = (jacobian - own * mass).conj().T
        w = sla.svd(shifted)[2][-1].conj()
        w = w / np.conj(w.conj() @ mass @ v)
        return np.array(value), v, w, np.array(k, np.int32), np.array(conjugate)

    @property
    def stacks(self) -> tuple[bool, ...]:
        return (False, False)


def traced_eigenvalues(
    jacobians: Array, masses: Array, doubled: tuple[bool, ...], count: int, target: complex | None
) -> Array:
    """λ of pencils (k, n, n), complex (count,), with derivatives where it is simple.

    Arguments:
        doubled: for each pencil, whether its complex conjugate counts as well.
    """
    size = jacobians.shape[-1]
    kind = jnp.result_type(complex)
    out = [
        jax.ShapeDtypeStruct((count,), kind),
        jax.ShapeDtypeStruct((count, size), kind),
        jax.ShapeDtypeStruct((count, size), kind),
        jax.ShapeDtypeStruct((count,), jnp.int32),
        jax.ShapeDtypeStruct((count,), jnp.bool_),
    ]
    fixed = jax.lax.stop_gradient((jacobians, masses))
    values, v, w, places, conjugate = host_call(_Nearest(count, target, doubled), out, *fixed)
    own = jnp.where(conjugate, jnp.conj(values), values)

    def moved(value: Array, v: Array, w: Array, k: Array) -> Array:
        change = jacobians[k] - fixed[0][k] - value * (masses[k] - fixed[1][k])
        return value + jnp.conj(w) @ (change @ v)

    found = jax.vmap(moved)(own, v, w, places)
    return jnp.where(conjugate, jnp.conj(found), found)
