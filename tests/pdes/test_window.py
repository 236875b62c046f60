"""A window of time is the same problem on another clock."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library, strong_residual
from pdes._window import window
from physml.losses import condition_residual


class Pulsed(pm.PDE):
    """∂ₜ(ρ(t) ∂ₜu) + ∂ₜ((1 + t) v) …: every kind of term depends on time."""

    fields = {"u": pm.Scalar(), "v": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.wave,), source=self.beat, inertia=self.density),
            "v": pm.Balance(flux=(self.heat,), storage=self.store),
            "w": pm.Definition(flux=(self.slope,)),
        }

    def density(self, p):
        return 1.0 + p.t**2

    def wave(self, p):
        return -(1.0 + p.t) * p.grad.u

    def beat(self, p):
        return jnp.cos(p.t) * p.v

    def heat(self, p):
        return -jnp.exp(-p.t) * p.grad.v * p.u

    def store(self, p):
        return (1.0 + p.t) * p.v

    def slope(self, p):
        return p.t * p.grad.u


PROBLEM = pm.Problem(
    Pulsed(),
    pm.Interval(0.0, 1.0),
    time=(0.0, 2.0),
    initial={"u": 0.0, "v": lambda x: x[0]},
    initial_rate={"u": 1.0},
    boundary={
        "left": [
            pm.Dirichlet(u=lambda x, t: jnp.sin(t)),
            pm.Robin(v=lambda p: p.t * p.v),
            pm.Free("w"),
        ],
        "right": [
            pm.Neumann(u=lambda x, t: t**2, terms=("wave",)),
            pm.Dirichlet(v=0.0),
            pm.Free("w"),
        ],
    },
)


def fields(x, t):
    u = jnp.sin(x[0] + 2 * t) * (1 + t)
    return {"u": u, "v": jnp.cos(3 * x[0] - t), "w": x[0] * t}


@pytest.mark.parametrize("unit", [False, True])
def test_residuals_and_conditions_are_those_of_the_later_time(unit):
    start, length, s = 0.7, 0.5, jnp.asarray(0.3)
    later = window(PROBLEM, start, length, unit=unit)
    pace = length if unit else 1.0

    def shifted(x, s):
        return fields(x, pace * s + start)

    x, n = jnp.asarray([0.4]), jnp.asarray([1.0])

    @jax.jit
    def all_of(x, s):
        found = []
        for p, f, t in ((later, shifted, s), (PROBLEM, fields, pace * s + start)):
            conditions = [
                condition_residual(p.forms()[name], p.conditions[part][name], f, x, t, n)
                for part in ("left", "right")
                for name in PROBLEM.shapes
            ]
            found.append((p.residual(f, x, t), conditions))
        return found

    found, expected = all_of(x, s)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected)
    assert later.time == (0.0, 1.0 if unit else 0.5) and PROBLEM.time == (0.0, 2.0)
    np.testing.assert_allclose(later.initial_rate["u"](x), pace, rtol=1e-15)


def test_unit_windows_of_all_lengths_are_one_program():
    count, whole = 0, library.heat(kappa=0.1)

    @eqx.filter_jit
    def residual(problem, x, s):
        nonlocal count
        count += 1
        return problem.residual(lambda y, t: {"u": jnp.sin(y[0] + t)}, x, s)["u"]

    x, s = jnp.asarray([0.3]), jnp.asarray(0.4)
    for start, length in ((0.0, 1.0), (0.25, 0.01), (0.5, 0.5)):
        # ∂ₛu/length − 0.1 ∂²u by hand.
        expected = np.cos(0.7) / length + 0.1 * np.sin(0.7)
        problem = window(whole, start, length, unit=True)
        np.testing.assert_allclose(residual(problem, x, s), expected, rtol=1e-12)
    assert count == 1


def test_initial_data_are_the_given_ones():
    later = window(PROBLEM, 1.0, 0.5, {"u": lambda x: 2 * x[0], "v": lambda x: 3.0}, None)
    x = jnp.asarray([0.25])
    assert float(later.initial_value("u", x)) == 0.5 and float(later.initial_value("v", x)) == 3.0
    assert float(later.initial_rate["u"](x)) == 1.0


def test_the_exact_solution_moves_along():
    later = window(library.heat(), 0.5, 0.25)
    x, t = jnp.asarray([0.3]), jnp.asarray(0.1)
    np.testing.assert_allclose(
        later.exact_value("u", x, t), library.heat().exact_value("u", x, t + 0.5), rtol=1e-14
    )
    fields = lambda y, s: {"u": later.exact_value("u", y, s)}
    residual = jax.jit(lambda x, t: strong_residual(later.forms(), fields, x, t, steady=False))(
        x, t
    )
    np.testing.assert_allclose(residual["u"], 0.0, atol=1e-12)


def test_a_steady_problem_has_no_window():
    with pytest.raises(ValueError, match="is steady"):
        window(library.poisson(), 0.0, 1.0)
