"""host_call: under jit, vmap, scan, while_loop and a custom derivative; many threads at once."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from solvers._host_call import HostFunction, host_call


@dataclasses.dataclass(frozen=True)
class Product(HostFunction):
    """A x; x may be a stack. Counts its calls in a list that the test gives."""

    calls: "Calls"

    def __call__(self, matrix, x):
        assert type(matrix) is np.ndarray and type(x) is np.ndarray
        self.calls.shapes.append(x.shape)
        return (np.einsum("ij,...j->...i", matrix, x),)

    @property
    def stacks(self):
        return (False, True)


class Calls:
    def __init__(self):
        self.shapes = []


@pytest.fixture
def product():
    calls = Calls()

    def apply(matrix, x):
        shape = jax.ShapeDtypeStruct((matrix.shape[0],), x.dtype)
        return host_call(Product(calls), [shape], matrix, x)[0]

    return apply, calls


ROOT = Path(__file__).resolve().parents[2]
MATRIX = np.arange(12.0).reshape(3, 4) - 4.0
X = np.array([1.0, -2.0, 0.5, 3.0])


def test_eager_and_compiled(product):
    apply, _ = product
    np.testing.assert_allclose(apply(MATRIX, jnp.asarray(X)), MATRIX @ X, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(apply)(MATRIX, X), MATRIX @ X, rtol=1e-6)


def test_a_batch_of_stackable_arguments_is_one_call(product):
    apply, calls = product
    many = np.arange(40.0).reshape(2, 5, 4)
    out = jax.jit(jax.vmap(jax.vmap(apply, (None, 0)), (None, 0)))(MATRIX, many)
    np.testing.assert_allclose(out, many @ MATRIX.T, rtol=1e-6)
    assert calls.shapes == [(2, 5, 4)]


def test_a_batch_of_other_arguments_is_one_call_each(product):
    apply, calls = product
    scales = np.arange(1.0, 4.0)
    out = jax.vmap(lambda s, x: apply(s * MATRIX, x), (0, 1))(scales, np.stack([X] * 3, 1))
    np.testing.assert_allclose(out, scales[:, None] * (MATRIX @ X), rtol=1e-6)
    assert calls.shapes == [(4,)] * 3


def test_inside_scan_and_while(product):
    apply, _ = product
    square = MATRIX[:, :3] / 10

    def step(x, _):
        return apply(square, x), x

    last, all_ = jax.jit(lambda x: jax.lax.scan(step, x, None, length=4))(X[:3])
    np.testing.assert_allclose(last, np.linalg.matrix_power(square, 4) @ X[:3], rtol=1e-5)
    np.testing.assert_allclose(all_[1], square @ X[:3], rtol=1e-5)

    def unfinished(state):
        return state[1] < 3

    looped = jax.jit(
        lambda x: jax.lax.while_loop(unfinished, lambda s: (apply(square, s[0]), s[1] + 1), (x, 0))
    )(X[:3])[0]
    np.testing.assert_allclose(looped, np.linalg.matrix_power(square, 3) @ X[:3], rtol=1e-5)


def test_derivatives_are_refused_unless_given(product):
    apply, _ = product
    with pytest.raises(ValueError, match="no derivative"):
        jax.grad(lambda x: apply(MATRIX, x).sum())(X)

    @jax.custom_jvp
    def own(x):
        return apply(MATRIX, x)

    own.defjvp(lambda primals, tangents: (own(*primals), jnp.asarray(MATRIX) @ tangents[0]))
    gradient = jax.jit(jax.grad(lambda x: (own(x) ** 2).sum()))(X)
    np.testing.assert_allclose(gradient, 2 * MATRIX.T @ (MATRIX @ X), rtol=1e-5)


_LOAD = """
import concurrent.futures, dataclasses, jax, numpy as np, jax.numpy as jnp
from solvers._host_call import HostFunction, host_call

@dataclasses.dataclass(frozen=True)
class Same(HostFunction):
    def __call__(self, x):
        return (x.copy(),)
    @property
    def stacks(self):
        return (True,)

@jax.jit
def program(x):
    def step(x, _):
        y = host_call(Same(), [jax.ShapeDtypeStruct(x.shape, x.dtype)], jnp.sin(x))[0]
        return y + jnp.cos(y), None
    return jax.lax.scan(step, x, None, length=20)[0]

x = jnp.ones(100_000)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    out = list(pool.map(lambda i: float(program(x * i).sum()), range(12)))
assert np.isfinite(out).all()
"""


def test_several_threads_with_asynchronous_dispatch_do_not_wait_for_each_other():
    """With `jax.pure_callback` such a program can hang where there are few threads."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "NPROC": "2"}
    command = [sys.executable, "-c", _LOAD]
    subprocess.run(command, check=True, timeout=120, env=environment, cwd=ROOT)
