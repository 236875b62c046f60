"""Which term became non-finite, and where."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physml.optimizers import LeastSquares, Objective


def name_non_finite(objective: Objective, good: Any, bad: Any, batch: Any) -> str:
    """The terms that are not finite at `bad`, or whose gradient is not at `good`, in words."""
    finite = all(bool(np.all(np.isfinite(leaf))) for leaf in jax.tree.leaves(bad))
    if finite:
        values = _terms(objective, bad, batch)
        named = [name for name, value in values.items() if not np.isfinite(value)]
        if named:
            return "; ".join(_place(objective, bad, batch, name) for name in named)
    gradients = _gradients_finite(objective, good, batch)
    named = [name for name, is_finite in gradients.items() if not is_finite]
    if named:
        return f"the gradient of {', '.join(repr(name) for name in named)}"
    return "the step itself (its length is too large for the loss)"


@eqx.filter_jit
def _terms(objective, params, batch):
    return objective.terms(params, batch)


@eqx.filter_jit
def _gradients_finite(objective, params, batch):
    names = eqx.filter_eval_shape(objective.terms, params, batch)

    def finite(name):
        gradient = jax.grad(lambda p: objective.terms(p, batch)[name])(params)
        leaves = jax.tree.leaves(gradient)
        return jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]).all()

    return {name: finite(name) for name in names}


def _place(objective: Objective, params: Any, batch: Any, name: str) -> str:
    if not isinstance(objective, LeastSquares):
        return f"the term {name!r}"
    block = objective.blocks(batch)[name]
    residual = np.asarray(block.residual(params))
    wrong = np.flatnonzero(~np.isfinite(residual))
    if len(wrong) == 0:
        return f"the term {name!r} (each residual is finite, their squares overflow)"
    place = block.locate(int(wrong[0]), residual.size)
    return f"the term {name!r} in {len(wrong)} of {residual.size} residuals, first at {place}"
