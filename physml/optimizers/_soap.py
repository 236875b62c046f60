"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ._first_order import first_order_step
from ._objective import Objective
from ._optimizer import Info, Optimizer, check_params


class RotatedMoments(NamedTuple):
    """Moments of one array, and, for each side of a matrix, Gram matrix and its eigenbasis."""

    mean: Array
    square: Array
    grams: tuple[Array | None, ...]
    bases: tuple[Array | None, ...]


class SoapState(NamedTuple):
    count: Array
    moments: tuple[RotatedMoments, ...]


def scale_by_soap(
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    frequency: int = 10,
    largest: int = 4096,
) -> optax.GradientTransformation:
    """The update of SOAP without the learning rate, as an optax transformation.

    For a matrix with gradient G, L ← β₂L + (1 − β₂) G Gᵀ and R ← β₂R + (1 − β₂) GᵀG have the
    eigenbases Q_L, Q_R, and Adam is applied to Q_LᵀG Q_R; its mean is kept unrotated. The bases
    follow by one step of orthogonal iteration every `frequency` steps. A side longer than `largest`
    is not rotated, nor is an array that is no matrix: for these it is Adam.

    The first step only finds the bases: in those of its own gradient it would divide rounding
    errors by themselves.
    """

    def start(leaf: Array) -> RotatedMoments:
        sides = leaf.shape if leaf.ndim == 2 else ()
        squares = tuple(jnp.zeros((n, n), leaf.dtype) if n <= largest else None for n in sides)
        bases = tuple(jnp.eye(n, dtype=leaf.dtype) if n <= largest else None for n in sides)
        return RotatedMoments(jnp.zeros_like(leaf), jnp.zeros_like(leaf), squares, bases)

    def init(params: Any) -> SoapState:
        moments = tuple(start(leaf) for leaf in jax.tree.leaves(params))
        return SoapState(jnp.zeros((), jnp.int32), moments)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        leaves, structure = jax.tree.flatten(updates)
        # The first step is none of Adam's.
        count = state.count.astype(leaves[0].dtype)
        found = [
            _advance(g, old, count, b1, b2, eps, frequency)
            for g, old in zip(leaves, state.moments, strict=True)
        ]
        steps = jax.tree.unflatten(structure, [step for step, _ in found])
        return steps, SoapState(state.count + 1, tuple(moments for _, moments in found))

    return optax.GradientTransformation(init, update)


def _advance(gradient, old: RotatedMoments, count, b1, b2, eps, frequency):
    first = count == 0
    rotated = _rotate(gradient, old.bases)
    mean = jnp.where(first, 0.0, b1 * old.mean + (1 - b1) * gradient)
    square = jnp.where(first, 0.0, b2 * old.square + (1 - b2) * rotated**2)
    # Both are 0 at the first step, whose correction would be 0 as well.
    steps = jnp.maximum(count, 1.0)
    corrected = _rotate(mean, old.bases) / (1 - b1**steps)
    step = _back(corrected / (jnp.sqrt(square / (1 - b2**steps)) + eps), old.bases)
    grams = tuple(
        None if gram is None else b2 * gram + (1 - b2) * _gram(gradient, side)
        for side, gram in enumerate(old.grams)
    )
    bases = tuple(
        None if gram is None or basis is None else _followed(gram, basis, count, frequency)
        for gram, basis in zip(grams, old.bases, strict=True)
    )
    return jnp.where(first, 0.0, step), RotatedMoments(mean, square, grams, bases)


def _gram(matrix: Array, side: int) -> Array:
    return matrix @ matrix.T if side == 0 else matrix.T @ matrix


def _followed(gram: Array, basis: Array, count: Array, frequency: int) -> Array:
    def exact(_):
        return jnp.linalg.eigh(gram)[1][:, ::-1]

    def iterated(_):
        return jnp.linalg.qr(gram @ basis)[0]

    def kept(_):
        return basis

    due = jnp.where(count == 0, 0, jnp.where(count % frequency == 0, 1, 2))
    return jax.lax.switch(due, (exact, iterated, kept), None)


def _rotate(matrix: Array, bases: tuple[Array | None, ...]) -> Array:
    if not bases:
        return matrix
    left, right = bases
    turned = matrix if left is None else left.T @ matrix
    return turned if right is None else turned @ right


def _back(matrix: Array, bases: tuple[Array | None, ...]) -> Array:
    if not bases:
        return matrix
    left, right = bases
    turned = matrix if left is None else left @ matrix
    return turned if right is None else turned @ right.T


class SOAP(Optimizer):
    """SOAP (Vyas et al., 2024): Adam in the eigenbasis of Shampoo's preconditioners.

    Rotations of a layer's inputs and outputs rotate its steps, which is not so for Adam; on
    residual losses it is the first-order method that needs fewest steps.

    **Arguments**

    - `learning_rate`: number or optax schedule.
    - `b1`, `b2`, `eps`: as in Adam; b2 is that of the preconditioners too.
    - `frequency`: steps between new eigenbases. `largest`: the longest side that is rotated.

    The transformation alone is `scale_by_soap`. Source: Vyas et al., 2024, algorithms 3 and 4.
    """

    transformation: optax.GradientTransformation

    def __init__(
        self,
        learning_rate: float | Callable[[Any], Any] = 3e-3,
        *,
        b1: float = 0.95,
        b2: float = 0.95,
        eps: float = 1e-8,
        frequency: int = 10,
        largest: int = 4096,
    ):
        if not callable(learning_rate) and not learning_rate > 0:
            raise ValueError(f"learning_rate must be > 0, got {learning_rate!r}.")
        if not (0 <= b1 < 1 and 0 <= b2 < 1) or frequency < 1:
            raise ValueError(
                "SOAP needs 0 ≤ b1, b2 < 1 and a frequency of at least 1, got "
                f"{b1!r}, {b2!r}, {frequency!r}."
            )
        self.transformation = optax.chain(
            scale_by_soap(b1, b2, eps, frequency, largest),
            optax.scale_by_learning_rate(learning_rate),
        )

    def init(self, objective: Objective, params: Any, batch: Any) -> Any:
        check_params(params)
        return self.transformation.init(params)

    def step(
        self, objective: Objective, params: Any, state: Any, batch: Any
    ) -> tuple[Any, Any, Info]:
        return first_order_step(self.transformation, objective, params, state, batch)

    def rebatch(self, objective: Objective, params: Any, state: Any, batch: Any) -> Any:
        return state
