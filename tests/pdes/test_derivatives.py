"""Expansions carried through a jaxpr against nested forward mode; which fluxes are recognised."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from pdes._derivatives import fluxes_are_isotropic, series_apply
from pdes._expansion import Expansion, propagate
from pdes._fourier_sum import fourier_sum
from pdes._isotropy import isotropic
from pdes._pde import sample_point
from pdes._second_order import FEW, SecondOrder
from pdes._series import Series
from pdes._strong import nested_residual, strong_residual
from physml.networks import MLP, combine, partition

W = jax.random.normal(jax.random.key(0), (5, 8)) / 3


def smooth(x, t):
    """Every rule, and a few primitives that have none."""
    z = jnp.tanh(W @ x + t)
    z = jnp.sin(z) * jnp.exp(-(z**2)) + t * jax.nn.sigmoid(z) + jnp.cos(z) ** 3
    z = z + jnp.sqrt(4 + z) / (3 + z) ** 2 + jnp.log(5 + z) + (4 + z) ** -2
    z = z + jax.scipy.special.erf(z) + jax.nn.softplus(z) + (5 + z) ** 1.5 + t / (4 + z)
    kept = jnp.where(x[0] > 0, x[0] ** 3, 1.0) + jnp.maximum(x[1], 0.0)
    turned = jax.lax.fori_loop(0, 2, lambda i, a: jnp.sin(a) + t, z)
    return {"u": jnp.outer(z, z[::-1]).sum() * kept, "v": jnp.concatenate([turned, z[:2] * x[:2]])}


X = jnp.linspace(-0.4, 0.9, 8) + 0.05
T = jnp.asarray(0.4)


@pytest.mark.parametrize("directions", [2, 8])
def test_first_and_second_derivatives_are_those_of_nested_forward_mode(directions):
    weights = np.zeros((2, directions + 1))
    weights[0, :directions], weights[1, directions] = 1.0, 0.5
    algebra = SecondOrder(weights)
    assert algebra.joint == (directions + 1 > FEW)
    basis = jnp.eye(8)[:directions]

    @jax.jit
    def ours():
        x = algebra.seed(X, [*basis, None])
        t = algebra.seed(T, [None] * directions + [jnp.ones(())])
        found = propagate(algebra, smooth, x, t)
        return {
            name: (a.value, jnp.stack(algebra.first(a)), jnp.stack(algebra.second(a)))
            for name, a in found.items()
        }

    @jax.jit
    def nested():
        def along(s):
            return smooth(X + s[:-1] @ basis, T + s[-1])

        at = jnp.zeros(directions + 1)
        slopes = jax.jacfwd(along)(at)
        bends = jax.jacfwd(jax.jacfwd(along))(at)
        return {
            name: (
                value,
                jnp.moveaxis(slopes[name], -1, 0),
                jnp.einsum("...ii,si->s...", bends[name], weights),
            )
            for name, value in smooth(X, T).items()
        }

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12),
                 ours(), nested())  # fmt: skip


def test_taylor_coefficients_are_those_of_nested_forward_mode():
    algebra = Series(3, 1)
    direction = jnp.linspace(1.0, -0.3, 8)

    @jax.jit
    def ours():
        x = algebra.seed(X, direction, None)
        t = algebra.seed(T, None, jnp.ones(()))
        found = propagate(algebra, smooth, x, t)
        return {name: algebra.branches(a) for name, a in found.items()}

    found = ours()
    curves = (lambda s: smooth(X + s * direction, T), lambda s: smooth(X, T + s))
    for side, curve in enumerate(curves):
        for k in range(algebra.orders[side] + 1):
            expected = jax.jit(curve)(0.0)
            for name in ("u", "v"):
                scaled = expected[name] / math.factorial(k)
                scale = float(jnp.abs(scaled).max())
                np.testing.assert_allclose(found[name][side][k], scaled, atol=1e-12 * scale)
            curve = lambda s, c=curve: jax.jvp(c, (s,), (1.0,))[1]


def test_sums_of_waves_have_the_coefficients_of_nested_forward_mode():
    """With an angle that is no line, coefficients that move on the same line, and either alone."""
    k = jnp.arange(1.0, 8.0)
    a, b = jnp.cos(k)[None] / k, jnp.stack([jnp.sin(k)]) / k**2
    cases = {
        "angle": lambda x, t: fourier_sum(jnp.sin(x) + x**2 - t, a, b),
        "line": lambda x, t: fourier_sum(2 * x, a, jnp.exp(-t) * b),
        "coefficients": lambda x, t: fourier_sum(t, jnp.tanh(x * a), b),
        "all": lambda x, t: fourier_sum(x * t, jnp.exp(x) * a, b / (1 + x**2)),
    }
    x, t = jnp.asarray(0.7), jnp.asarray(0.4)
    algebra = Series(4, 2)
    for name, function in cases.items():
        plain = lambda x, t, f=function: f(x, t)
        found = propagate(
            algebra, plain, algebra.seed(x, jnp.ones(()), None), algebra.seed(t, None, jnp.ones(()))
        )
        curves = (lambda s, f=function: f(x + s, t), lambda s, f=function: f(x, t + s))
        for branch, curve in zip(algebra.branches(found), curves, strict=True):
            for k, coefficient in enumerate(branch):
                expected = curve(jnp.zeros(())) / math.factorial(k)
                np.testing.assert_allclose(
                    0.0 if coefficient is None else coefficient, expected, rtol=1e-11, atol=1e-13,
                    err_msg=name,
                )  # fmt: skip
                curve = lambda s, c=curve: jax.jvp(c, (s,), (jnp.ones_like(s),))[1]


def test_what_does_not_depend_on_the_point_has_no_expansion():
    algebra = Series(3)
    found = propagate(
        algebra, lambda x: (jnp.ones_like(x), jnp.floor(x), 2.0 * x), algebra.seed(X, jnp.ones(8))
    )
    assert [isinstance(a, Expansion) for a in found] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "series"),
    [("burgers_2d", False), ("wave", False), ("stokes", False), ("kdv", True)],
)
def test_strong_residuals_equal_those_of_nested_forward_mode(name, series):
    problem = getattr(library, name)()
    forms = problem.forms()
    shapes = {n: s for n, s in problem.shapes.items() if forms[n].kind != "Definition"}
    sizes = [int(np.prod(shape, dtype=int)) for shape in shapes.values()]
    network = MLP(problem.dim + 1, sum(sizes), width=6, depth=2, key=jax.random.key(1))
    params, static = partition(network)
    assert series_apply(forms, shapes, problem.steady) == series

    def loss(params, residual):
        def fields(x, t):
            parts = jnp.split(combine(params, static)(jnp.append(x, t)), np.cumsum(sizes)[:-1])
            return {n: p.reshape(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}

        x = 0.3 + 0.1 * jnp.arange(problem.dim)
        found = residual(forms, fields, x, jnp.asarray(0.4), steady=problem.steady)
        return sum(jnp.sum(r**2) for r in found.values())

    # The gradient in the parameters is the same for all: one is enough.
    wanted = jax.value_and_grad if name == "kdv" else lambda f: f
    values = [
        jax.jit(wanted(lambda p, r=r: loss(p, r)))(params)
        for r in (strong_residual, nested_residual)
    ]
    for a, b in zip(*map(jax.tree.leaves, values), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * (1 + float(jnp.abs(b).max())))


def test_the_bilaplacian_by_nested_forward_laplacians():
    class Bending(pm.PDE):
        fields = {"u": pm.Scalar(), "w": pm.Scalar()}

        def equations(self):
            return {
                "u": pm.Balance(flux=(lambda p: p.grad.w,), storage=pm.NoStorage),
                "w": pm.Definition(flux=(lambda p: p.grad.u,)),
            }

    forms = Bending().forms(2)
    fields = lambda x, t: {"u": jnp.sin(2 * x[0]) * jnp.exp(x[1])}
    found = strong_residual(forms, fields, jnp.array([0.3, 0.2]), 0.0, steady=True)
    # ∇²u = (1 − 4) u, twice.
    np.testing.assert_allclose(found["u"], 9 * np.sin(0.6) * np.exp(0.2), rtol=1e-13)


class Fluxes(pm.PDE):
    """Fluxes that are, and are not, multiples of the gradient."""

    k: pm.Coefficient = pm.coefficient(2.0)
    fields = {"u": pm.Scalar(), "v": pm.Components(2)}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.plain,), storage=pm.NoStorage),
            "v": pm.Balance(flux=(self.mixed,), storage=pm.NoStorage),
        }

    def plain(self, p):
        return -(1 + p.u**2) * jnp.sin(p.x[0]) * p.grad.u + p.u * p.x + self.k(p) * p.grad.v[1]

    def mixed(self, p):
        return jnp.array([[1.0, 2.0], [0.0, 3.0]]) @ p.grad.v / (1 + p.u) + p.v[:, None]

    def nonlinear(self, p):
        return jnp.sum(p.grad.u**2) * p.grad.u

    def turned(self, p):
        return p.grad.u[::-1]

    def weighted(self, p):
        return jnp.where(p.x > 2.0, 3.0, 1.0) * p.grad.u

    def transposed(self, p):
        return p.grad.v.T


def test_isotropic_fluxes_are_recognised_and_no_others():
    pde = Fluxes()
    forms = pde.forms(2)
    point = sample_point(forms["u"].shapes, 2)
    assert fluxes_are_isotropic(forms["u"]) and fluxes_are_isotropic(forms["v"])
    for term in (pde.nonlinear, pde.turned, pde.weighted, pde.transposed):
        assert not isotropic(term, point)
    line = sample_point({"u": (), "v": (2,)}, 1)
    assert isotropic(pde.nonlinear, line)
    matrix = Fluxes(k=lambda p: jnp.diag(jnp.array([1.0, 2.0])))
    assert not isotropic(lambda p: matrix.k(p) @ p.grad.u, point)
