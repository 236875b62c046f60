"""Float64 linear algebra of the optimizers on this machine: XLA against LAPACK and BLAS.

J (N × P) is made by XLA and handed to SciPy's LAPACK on the host, which on a CPU copies nothing: a
callback would. Each figure is the best of several, and the ratio of the two decides what
`physml.optimizers` uses.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._table import Checks, Row, row
from physml.optimizers._linear_algebra import NormalCholesky, Orthogonal, SingularValues

SHAPES = ((3000, 941), (800, 941), (1600, 800))
DAMPING = 1e-3


def best(run: Callable[[], object], count: int = 3) -> float:
    """Least seconds of `count` runs after one that compiles."""
    run()
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


@jax.jit
def _gram(jacobian, residual):
    rows, columns = jacobian.shape
    product = jacobian @ jacobian.T if rows < columns else jacobian.T @ jacobian
    return product, jacobian.T @ residual


@jax.jit
def _cholesky(jacobian, residual):
    rows, columns = jacobian.shape
    gram, gradient = _gram(jacobian, residual)
    factor = jax.scipy.linalg.cho_factor(gram + DAMPING * jnp.eye(len(gram)), lower=True)
    if rows < columns:
        return jacobian.T @ jax.scipy.linalg.cho_solve(factor, residual)
    return jax.scipy.linalg.cho_solve(factor, gradient)


@jax.jit
def _qr(jacobian, residual):
    rows, columns = jacobian.shape
    tall = jacobian.T if rows < columns else jacobian
    root = DAMPING**0.5 * jnp.eye(tall.shape[1])
    triangle = jnp.linalg.qr(jnp.concatenate([tall, root]), mode="r")
    half = residual if rows < columns else jacobian.T @ residual
    half = jax.scipy.linalg.solve_triangular(triangle, half, trans=1)
    solution = jax.scipy.linalg.solve_triangular(triangle, half)
    return jacobian.T @ solution if rows < columns else solution


@jax.jit
def _svd(jacobian, residual):
    u, s, vt = jnp.linalg.svd(jacobian, full_matrices=False)
    return vt.T @ (s / (s**2 + DAMPING) * (u.T @ residual))


def _lapack(factorisation, jacobian, residual):
    return factorisation(np.asarray(jacobian), np.asarray(residual)).solve(DAMPING).direction


def _xla(compiled, jacobian, residual):
    return np.asarray(compiled(jacobian, residual))


def solves() -> Iterable[Row]:
    """A damped least-squares solution by each way."""
    ways = (
        ("Cholesky", _cholesky, NormalCholesky),
        ("QR", _qr, Orthogonal),
        ("SVD", _svd, SingularValues),
    )
    for rows, columns in SHAPES:
        draw = np.random.default_rng(0)
        jacobian = jnp.asarray(draw.normal(size=(rows, columns)))
        residual = jnp.asarray(draw.normal(size=rows))
        for name, compiled, factorisation in ways:
            by_lapack = functools.partial(_lapack, factorisation, jacobian, residual)
            by_xla = functools.partial(_xla, compiled, jacobian, residual)
            gap = np.linalg.norm(by_lapack() - by_xla()) / np.linalg.norm(by_xla())
            xla, lapack = best(by_xla), best(by_lapack)
            yield row(
                f"{name} {rows}×{columns}: XLA over LAPACK",
                xla / lapack,
                # The same routine of LAPACK does the work of both.
                None if name == "SVD" else 1.0,
                "times",
                at_least=True,
                note=f"XLA {xla:.3f} s, LAPACK {lapack:.3f} s, they differ by {gap:.0e}",
            )


def products() -> Iterable[Row]:
    """JᵀJ, by XLA's product and BLAS's symmetric one."""
    from scipy.linalg import get_blas_funcs

    (syrk,) = get_blas_funcs(("syrk",), dtype=np.float64)
    for rows, columns in SHAPES:
        jacobian = jnp.asarray(np.random.default_rng(0).normal(size=(rows, columns)))
        residual = jnp.zeros(rows)
        wide = rows < columns
        xla = best(lambda j=jacobian, r=residual: jax.block_until_ready(_gram(j, r)))
        blas = best(
            lambda j=jacobian, w=wide: syrk(1.0, np.asarray(j).T, lower=1, trans=1 if w else 0)
        )
        yield row(
            f"J ᵀJ {rows}×{columns}: XLA over BLAS".replace("J ᵀ", "J Jᵀ, " if wide else "Jᵀ"),
            xla / blas,
            1.0,
            "times",
            at_least=True,
            note=f"XLA {xla:.3f} s, BLAS {blas:.3f} s",
        )


CHECKS: Checks = {"linear algebra products": products, "linear algebra solves": solves}
