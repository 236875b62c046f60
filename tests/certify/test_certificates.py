"""Certificates: for functions whose error is known on paper the estimate is that error."""

import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from tests.certify._given import given

PI = np.pi
SINES = pm.library.poisson().exact["u"]


def rod(**options):
    """−u″ = f on [0, 1] with u = sin πx."""
    return pm.Problem(
        pm.library.Poisson(f=lambda p: PI**2 * jnp.sin(PI * p.x[0])),
        pm.Interval(0.0, 1.0),
        exact={"u": lambda x, t: jnp.sin(PI * x[0])},
        name="rod",
        **options,
    )


def test_energy_of_an_error_inside():
    """e = a sin 2πx sin πy: ‖∇e‖² = a² 5π²/4."""
    a = 1e-6
    found = given(
        pm.library.poisson(),
        lambda x, t: SINES(x, t) - a * jnp.sin(2 * PI * x[0]) * jnp.sin(PI * x[1]),
    ).certify()
    assert found.kind == "energy" and found.constant == 1.0
    assert found.estimate == pytest.approx(a * PI * np.sqrt(5) / 2, rel=1e-4)
    assert found.effectivity() == pytest.approx(1.0, abs=1e-6)
    # ‖∇ sin πx sin πy‖ = π/√2.
    assert found.relative == pytest.approx(a * np.sqrt(5 / 2), rel=1e-4)
    assert "energy norm" in str(found) and f"{found.estimate:.3e}" in str(found)


def test_energy_of_a_boundary_mismatch():
    """e = a x y is harmonic: all of its energy, a √(2/3), is in the boundary values."""
    a = 1e-5
    found = given(pm.library.poisson(), lambda x, t: SINES(x, t) + a * x[0] * x[1]).certify()
    assert found.estimate == pytest.approx(a * np.sqrt(2 / 3), rel=1e-9)
    assert found.parts["equation"] < 1e-6 * found.parts["boundary values"]


def test_energy_with_natural_conditions():
    """Neumann at one end, Robin at the other: a(e, e) = ∫ e′² + h e(1)² with e = a x."""
    h, a = 3.0, 1e-3
    problem = rod(
        boundary={
            "left": pm.Neumann(u=PI),
            "right": pm.Robin(u=lambda p: h * p.u + PI),
        }
    )
    found = given(problem, lambda x, t: jnp.sin(PI * x[0]) + a * x[0]).certify()
    assert found.estimate == pytest.approx(a * np.sqrt(1 + h), rel=1e-8)


def test_the_estimate_converges_from_below():
    """‖e_h‖ ≤ ‖e‖, and with elements of degree 2 the defect of its square falls as h⁴."""
    a = 1e-2
    problem = rod(boundary={"all": pm.Dirichlet(u=0.0)})
    solution = given(problem, lambda x, t: jnp.sin(PI * x[0]) + a * jnp.sin(40 * PI * x[0]))
    exact = (a * 40 * PI) ** 2 / 2
    defects = [
        1 - solution.certify(levels=n, tolerance=1e-15).estimate ** 2 / exact for n in (1, 2, 3)
    ]
    assert all(defect > 0 for defect in defects)
    rates = np.log2(np.array(defects[:-1]) / np.array(defects[1:]))
    np.testing.assert_allclose(rates, 4.0, atol=0.4)


def test_parabolic_norm_is_an_identity():
    """e = a sin 3πx cos 2t: ∫‖e‖²_V + ‖∂ₜe‖²_V′ dt + ‖e(T)‖² on paper."""
    a, energy = 1e-4, 0.25 * 9 * PI**2 / 2
    problem = pm.library.heat()
    exact = problem.exact["u"]
    found = given(
        problem, lambda x, t: exact(x, t) + a * jnp.sin(3 * PI * x[0]) * jnp.cos(2 * t)
    ).certify()
    cosines, sines = 0.5 + np.sin(4) / 8, 4 * (0.5 - np.sin(4) / 8)
    # ‖sin 3πx‖² = ½, and its dual norm is ½ of ½ by the energy.
    true = a * np.sqrt(energy * cosines + 0.25 / energy * sines + 0.5 * np.cos(2.0) ** 2)
    assert found.kind == "parabolic"
    assert found.estimate == pytest.approx(true, rel=1e-5)
    assert found.effectivity() == pytest.approx(1.0, abs=1e-5)
    assert found.parts["initial values"] == pytest.approx(a * np.sqrt(0.5), rel=1e-6)


def test_nonlinear_by_the_equation_of_the_error():
    """−u″ = eᵘ with sources, e = a sin 2πx: ‖e‖ = a/√2, also where e is not small."""
    a = 0.3
    exact = lambda x, t: jnp.sin(PI * x[0])
    problem = pm.manufactured(Bratu(), pm.Interval(0.0, 1.0), {"u": exact})
    found = given(problem, lambda x, t: exact(x, t) + a * jnp.sin(2 * PI * x[0])).certify()
    assert found.kind == "correction"
    assert found.estimate == pytest.approx(a / np.sqrt(2), rel=1e-5)
    assert found.effectivity() == pytest.approx(1.0, abs=1e-5)


class Bratu(pm.PDE):
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance((self.slope,), (self.heating,), pm.NoStorage)}

    def slope(self, p):
        return -p.grad.u

    def heating(self, p):
        return jnp.exp(p.u)


def test_burgers_with_a_layer():
    """In time and nonlinear: the L² norm over space and time, by quadrature of the known error."""
    exact = lambda x, t: -jnp.tanh(x[0] / (0.3 * (1 - t) + 0.03)) * (1 - x[0] ** 2)
    problem = pm.manufactured(
        pm.library.Burgers(nu=0.01), pm.Interval(-1.0, 1.0), {"u": exact}, time=(0.0, 1.0)
    )
    error = lambda x, t: 1e-3 * jnp.sin(PI * x[0]) * jnp.cos(t) * (1 + t)
    found = given(problem, lambda x, t: exact(x, t) + error(x, t)).certify(levels=1)
    t = np.polynomial.legendre.leggauss(20)
    time = 0.5 * (1 + t[0])
    true = 1e-3 * np.sqrt(0.5 * t[1] @ (np.cos(time) * (1 + time)) ** 2)
    assert found.kind == "correction"
    assert found.estimate == pytest.approx(true, rel=2e-3)


def test_difference_to_a_numerical_solution():
    """Jumps leave no equation of the error: a reference, refined until it is ten times better."""
    problem = rod(boundary={"all": pm.Dirichlet(u=0.0)})
    a = 1e-4
    solution = given(problem, lambda x, t: (1 + a) * jnp.sin(PI * x[0]), jumps=True)
    found = solution.certify(reference=pm.FiniteElement(cells=64))
    assert found.kind == "difference" and found.change < 0.1
    assert found.estimate == pytest.approx(a / np.sqrt(2), rel=1e-2)
    assert found.constant == pytest.approx(1 + found.change)


def test_finite_elements_by_their_estimator():
    problem = rod(boundary={"all": pm.Dirichlet(u=0.0)})
    solution = pm.solve(problem, pm.FiniteElement(degree=1, cells=16))
    found = solution.certify()
    assert (found.kind, found.constant) == ("residual", None)
    assert found.estimate == pytest.approx(pm.estimate(solution).total)
    with pytest.raises(ValueError, match="can't be measured"):
        found.error()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("parabolic", "the problem is steady"),
        ("dual", "kind is one of"),
    ],
)
def test_refuses(kind, message):
    solution = given(pm.library.poisson(), SINES)
    with pytest.raises(ValueError, match=message):
        solution.certify(kind)


def test_refuses_an_energy_that_is_not_positive():
    """−u″ − 100 u is indefinite: no energy norm, and the error by its own equation instead."""

    class Resonant(pm.PDE):
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance((lambda p: -p.grad.u,), (lambda p: 100 * p.u,), pm.NoStorage)}

    exact = lambda x, t: jnp.sin(PI * x[0])
    problem = pm.manufactured(Resonant(), pm.Interval(0.0, 1.0), {"u": exact})
    solution = given(problem, lambda x, t: exact(x, t) + 1e-3 * jnp.sin(2 * PI * x[0]))
    with pytest.raises(pm.NotApplicable, match="not positive definite"):
        solution.certify("energy")
    found = solution.certify()
    assert found.kind == "correction" and "not positive definite" in found.explanation
    assert found.estimate == pytest.approx(1e-3 / np.sqrt(2), rel=1e-5)


def test_refuses_what_is_not_finite():
    solution = given(pm.library.poisson(), lambda x, t: jnp.log(x[0] - 0.5))
    with pytest.raises(ValueError, match="not finite"):
        solution.certify()
