"""Explicit strong-stability-preserving steps, and step sizes by the CFL condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array


class _Line(diffrax.AbstractLocalInterpolation):
    """A straight line between two steps, where a limited solution has no smoother one."""

    t0: Any
    t1: Any
    y0: Any
    y1: Any
    k: Any

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Any:
        if t1 is not None:
            return self.evaluate(t1) - self.evaluate(t0)
        return self.y0 + (t0 - self.t0) / (self.t1 - self.t0) * (self.y1 - self.y0)


class SSPRK3(diffrax.AbstractERK):
    """SSPRK3(2): order 3, a convex combination of Euler steps (Shu & Osher 1988).

    Whatever an Euler step of length Δt does not increase (total variation, negativity) does
    not increase in a step of the same length.
    """

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        a_lower=(np.array([1.0]), np.array([0.25, 0.25])),
        b_sol=np.array([1 / 6, 1 / 6, 2 / 3]),
        b_error=np.array([1 / 6 - 1 / 2, 1 / 6 - 1 / 2, 2 / 3]),
        c=np.array([1.0, 0.5]),
    )
    interpolation_cls: ClassVar[Any] = _Line

    def order(self, terms: Any) -> int:
        return 3

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        return None

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):  # type: ignore[override]
        """All stages in one loop: diffrax would compile the first one apart from the others."""
        rows, table = np.zeros((3, 3)), self.tableau
        for i, row in enumerate(table.a_lower):
            rows[i + 1, : i + 1] = row
        h = t1 - t0
        control = terms.contr(t0, t1)

        def stage(ks: Any, at: Any) -> tuple[Any, None]:
            i, row, c = at
            y = _moved(y0, row, ks)
            k = terms.vf_prod(jnp.where(c == 1, t1, t0 + c * h), y, args, control)
            return jax.tree.map(lambda all_, new: all_.at[i].set(new), ks, k), None

        ks = jax.tree.map(lambda y: jnp.zeros((3, *jnp.shape(y)), jnp.result_type(y)), y0)
        abscissae = jnp.asarray(np.append(0.0, table.c), jnp.result_type(t0, t1))
        ks, _ = jax.lax.scan(stage, ks, (np.arange(3), jnp.asarray(rows), abscissae))
        y1 = _moved(y0, table.b_sol, ks)
        error = jax.tree.map(lambda k: _weighted(table.b_error, k), ks)
        return y1, error, {"y0": y0, "y1": y1, "k": ks}, None, diffrax.RESULTS.successful


def _moved(y0: Any, weights: Any, ks: Any) -> Any:
    """y₀ + Σ wᵢ kᵢ."""
    return jax.tree.map(lambda y, k: y + _weighted(weights, k), y0, ks)


def _weighted(weights: Any, ks: Array) -> Array:
    # Of the dtype at once: JAX keeps an array of NumPy that stays alive in the precision in which
    # it saw it first, which an earlier solve may have had lower.
    return jnp.tensordot(jnp.asarray(weights, ks.dtype), ks, 1)


class CFLController(diffrax.AbstractAdaptiveStepSizeController):
    """Steps that the system asks for: `system.stable_step(z, t)`, with the system as `args`.

    A step that leaves what `system.admissible(z, t)` allows (a negative density) is taken again at
    half the length, `halvings` times at most; later steps grow back. Gradients are taken at fixed
    steps. There is no error control; diffrax asks for the fields.
    """

    rtol: float = 0.0
    atol: float = 0.0
    norm: Callable[[Any], Any] = optx.rms_norm
    halvings: int = 12

    def wrap(self, direction: Any) -> CFLController:
        return self

    def init(self, terms, t0, t1, y0, dt0, args, func, error_order):  # type: ignore[override]
        return t0 + self._step(args, y0, t0), jnp.ones((), jnp.result_type(t0))

    def adapt_step_size(  # type: ignore[override]
        self, t0, t1, y0, y1_candidate, args, y_error, error_order, controller_state
    ):
        share = controller_state
        step = self._step(args, y1_candidate, t1)
        allowed = args.admissible(y1_candidate, jnp.asarray(t1, y1_candidate.dtype))
        good = jax.lax.stop_gradient(allowed) & jnp.isfinite(step)
        grown = jnp.minimum(2 * share, 1.0)
        following = jnp.where(good, t1 + grown * step, t0 + (t1 - t0) / 2)
        start = jnp.where(good, t1, t0)
        share = jnp.where(good, grown, share / 2)
        result = diffrax.RESULTS.where(
            share > 0.5 ** (self.halvings + 0.5),
            diffrax.RESULTS.successful,
            diffrax.RESULTS.nonlinear_divergence,  # type: ignore[arg-type]
        )
        return good, start, following, jnp.asarray(False), share, result

    def _step(self, system: Any, z: Array, t: Any) -> Array:
        return jax.lax.stop_gradient(system.stable_step(z, jnp.asarray(t, z.dtype)))
