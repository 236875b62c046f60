"""Layerwise curvature: K-FAC, for residuals with derivatives too, and its half FOOF."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from physml.networks import Dense

from ._jets import JetBlock, row_factors
from ._kronecker import Pair, damped, merged, solve
from ._linearised import count_parameters
from ._objective import LeastSquares, Objective
from ._optimizer import Info, Optimizer, as_floats, check_least_squares, check_params

_TRIES = 6
# λ relative to the mean diagonal: its roots still keep the factors positive definite.
_LEAST = 1e-12


class LayerwiseState(eqx.Module):
    """Factors of each layer, steps so far, λ, and the last step (P,)."""

    factors: Any
    steps: np.ndarray
    damping: np.ndarray
    last: Array


class Layerwise(Optimizer):
    """Steps that solve a model of JᵀJ without the coupling of layers, for a loss ‖r‖².

    With d the solution for Jᵀr and δ the last step, the step is −a d + b δ, where a and b minimise
    the exact quadratic model ‖r + J(−a d + b δ)‖² + λ‖−a d + b δ‖². λ falls where the model
    predicts the reduction well and grows where not. Subclasses say how a layer is modelled.
    """

    damping: eqx.AbstractVar[float]
    decay: eqx.AbstractVar[float]
    factor: eqx.AbstractVar[float]

    @abc.abstractmethod
    def layer(self, pair: Pair) -> Pair:
        """The factors (A, B) that stand for a layer with those of K-FAC."""

    def init(self, objective: Objective, params: Any, batch: Any) -> LayerwiseState:
        check_params(params)
        check_least_squares(objective, type(self).__name__)
        if not any(_is_layer(node) for node in jax.tree.leaves(params, is_leaf=_is_layer)):
            raise TypeError(
                f"{type(self).__name__} needs a network with dense layers (an MLP) among the "
                "parameters, got none; use GaussNewton or Adam."
            )
        shapes = eqx.filter_eval_shape(_curvature, self, objective, params, batch)[-1]
        factors = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        flat = ravel_pytree(params)[0]
        return LayerwiseState(factors, np.zeros((), np.int64), np.zeros(()), jnp.zeros_like(flat))

    def step(
        self, objective: Objective, params: Any, state: LayerwiseState, batch: Any
    ) -> tuple[Any, LayerwiseState, Info]:
        residual, terms, gradient, factors = _estimate(self, objective, params, state, batch)
        before = as_floats(terms)
        loss = sum(before.values())
        scale = _mean(factors, params)
        least = _LEAST * scale if self.damping > 0 else 0.0
        damping = max(float(state.damping) if state.steps else self.damping * scale, least)
        info = Info(
            loss,
            before,
            after=True,
            gradient_norm=2 * float(jnp.linalg.norm(ravel_pytree(gradient)[0])),
            accepted=False,
            step_size=0.0,
            linear_solver=f"{type(self).__name__}, {self._described(factors)}",
        )
        for count in range(1, _TRIES + 1):
            # An array: a Python number would be part of what is compiled.
            shift = np.asarray(damping, residual.dtype)
            found = _propose(
                objective, params, factors, gradient, state.last, residual, shift, batch
            )
            there, last, after, predicted, length = found
            values = as_floats(after)
            reduction, used = loss - sum(values.values()), damping
            ratio = reduction / float(predicted) if float(predicted) > 0 else -1.0
            if not ratio >= 0.25:
                # Each failure in a row makes a larger stride.
                damping *= self.factor**count
            elif ratio > 0.75:
                damping = max(damping / self.factor, least)
            if reduction > 0:
                info = info._replace(
                    loss=sum(values.values()),
                    terms=values,
                    accepted=True,
                    step_size=float(length),
                    damping=used,
                    evaluations=1 + count,
                )
                return there, self._next(state, factors, damping, last), info
        info = info._replace(damping=damping, evaluations=1 + _TRIES)
        return params, self._next(state, factors, damping, jnp.zeros_like(state.last)), info

    def rebatch(
        self, objective: Objective, params: Any, state: LayerwiseState, batch: Any
    ) -> LayerwiseState:
        return state

    def _next(self, state, factors, damping, last) -> LayerwiseState:
        return LayerwiseState(factors, np.asarray(state.steps + 1), np.asarray(damping), last)

    def _described(self, factors: Any) -> str:
        layers = [entry for entry in factors if isinstance(entry, list)]
        sizes = ", ".join(f"{len(left)}⊗{len(right)}" for left, right in (x[0] for x in layers))
        many = " (two products each)" if len(layers[0]) == 2 else ""
        return f"{len(layers)} layers {sizes}{many}"


class KFAC(Layerwise):
    """K-FAC: JᵀJ of each layer as a sum of Kronecker products, for a loss ‖r‖².

        F = A₁ ⊗ B₁ + A₂ ⊗ B₂,

    the first product for the first block of residuals (the equation's), the second for all others
    (the conditions'), inverted exactly by two generalised eigenproblems. A and B are those of
    `JetBlock` (over the Taylor components of the network, for residuals with derivatives) where the
    block is one, else found from the rows of its Jacobian, which costs as much as a Jacobian.
    Rescaling and momentum are by the exact quadratic model of `Layerwise`. Exact, so a Newton step,
    for one linear layer and square loss.

    **Arguments**

    - `damping`: first λ, relative to the mean diagonal of F; 0 for none.
    - `decay`: of the exponential averages of A and B, 0 for those of this batch alone.
    - `factor`: of λ.

    Sources: Martens and Grosse, 2015; Dangel, Müller and Zeinhofer, 2024.
    Raises `TypeError` for an objective without residuals, or parameters without dense layers.
    """

    damping: float = eqx.field(static=True, default=1e-4)
    decay: float = eqx.field(static=True, default=0.0)
    factor: float = eqx.field(static=True, default=1.5)

    def __check_init__(self):
        _check(self)

    def layer(self, pair: Pair) -> Pair:
        return pair


class FOOF(Layerwise):
    """FOOF, gradient descent on neurons: F = A ⊗ βI, only the inputs' side of `KFAC`.

    The step moves the outputs of each layer along their gradient, as far as its weights can; β
    keeps the trace. Arguments as `KFAC`. Exact, so a Newton step, for one linear layer and square
    loss.

    Source: Benzing, 2022.
    """

    damping: float = eqx.field(static=True, default=1e-4)
    decay: float = eqx.field(static=True, default=0.0)
    factor: float = eqx.field(static=True, default=1.5)

    def __check_init__(self):
        _check(self)

    def layer(self, pair: Pair) -> Pair:
        left, right = pair
        return left, jnp.trace(right) / len(right) * jnp.eye(len(right), dtype=right.dtype)


def _check(optimizer: Layerwise) -> None:
    if not (optimizer.damping >= 0 and 0 <= optimizer.decay < 1 and optimizer.factor > 1):
        raise ValueError(
            f"{type(optimizer).__name__} needs damping ≥ 0, 0 ≤ decay < 1 and factor > 1, got "
            f"{optimizer.damping!r}, {optimizer.decay!r}, {optimizer.factor!r}."
        )


def _is_layer(node: Any) -> bool:
    return isinstance(node, Dense)


def _curvature(optimizer: Layerwise, objective: LeastSquares, params: Any, batch: Any):
    """r, the terms, Jᵀr, and for each layer its one or two pairs (for other arrays a diagonal)."""
    residual, pullback = jax.vjp(lambda p: objective.residual(p, batch), params)
    blocks = objective.blocks(batch)
    found = [
        block.factors(params)
        if isinstance(block, JetBlock)
        else row_factors(block, params, _is_layer)
        for block in blocks.values()
    ]
    factors: list[Any] = []
    for entries in zip(*found, strict=True):
        if not isinstance(entries[0], tuple):
            factors.append(sum(entries[1:], start=entries[0]))
            continue
        pairs = [optimizer.layer(pair) for pair in entries]
        factors.append([pairs[0]] if len(pairs) == 1 else [pairs[0], merged(pairs[1:])])
    return residual, objective.terms(params, batch), pullback(residual)[0], factors


@eqx.filter_jit
def _estimate(optimizer: Layerwise, objective, params, state: LayerwiseState, batch):
    residual, terms, gradient, factors = _curvature(optimizer, objective, params, batch)
    decay = jnp.where(state.steps > 0, optimizer.decay, 0.0)
    factors = jax.tree.map(lambda new, old: (1 - decay) * new + decay * old, factors, state.factors)
    return residual, terms, gradient, factors


@eqx.filter_jit
def _propose(objective, params, factors, gradient, last, residual, damping, batch):
    theta, unravel = ravel_pytree(params)
    direction = ravel_pytree(_solved(factors, gradient, jnp.asarray(damping, theta.dtype)))[0]
    vector = lambda flat: objective.residual(unravel(flat), batch)
    images = jnp.stack([jax.jvp(vector, (theta,), (v,))[1] for v in (-direction, last)])
    steps = jnp.stack([-direction, last])
    model = images @ images.T + damping * (steps @ steps.T)
    slope = -images @ residual
    # The last step may be zero, or along the new one: the least norm solution is meant.
    size = jnp.sqrt(jnp.diagonal(model))
    size = jnp.where(size > 0, size, 1.0)
    scaled = jnp.linalg.pinv(model / jnp.outer(size, size), rtol=1e-12, hermitian=True)
    weights = scaled @ (slope / size) / size
    step = weights @ steps
    left = residual + weights @ images
    there = unravel(theta + step)
    predicted = residual @ residual - left @ left
    return there, step, objective.terms(there, batch), predicted, weights[0]


def _solved(factors: list[Any], gradient: Any, damping: Array) -> Any:
    nodes, structure = jax.tree.flatten(gradient, is_leaf=_is_layer)
    found = []
    for node, entry in zip(nodes, factors, strict=True):
        if not _is_layer(node):
            found.append(node / (entry + damping + jnp.finfo(entry.dtype).tiny))
            continue
        matrix = jnp.concatenate([node.weight, node.bias[:, None]], axis=1)
        step = solve([damped(pair, damping) for pair in entry], matrix)
        replaced = eqx.tree_at(lambda d: (d.weight, d.bias), node, (step[:, :-1], step[:, -1]))
        found.append(replaced)
    return jax.tree.unflatten(structure, found)


@eqx.filter_jit
def _trace(factors):
    total = jnp.zeros(())
    for entry in factors:
        if isinstance(entry, list):
            total += sum(jnp.trace(left) * jnp.trace(right) for left, right in entry)
        else:
            total += jnp.sum(entry)
    return total


def _mean(factors: Any, params: Any) -> float:
    return float(_trace(factors)) / count_parameters(params)
