"""Chebyshev collocation: spectral accuracy, boundary rows, panels, gradients, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from solvers.spectral import _chebyshev_grid as grid
from solvers.spectral._chebyshev_line import LineSystem


class Diffusion(pm.PDE):
    """−∇·(k ∇u) = f, or with time ∂u/∂t on the left."""

    k: pm.Coefficient = pm.coefficient(1.0)
    f: pm.Coefficient = pm.coefficient(0.0)
    steady: bool = eqx.field(static=True, default=True)
    fields = {"u": pm.Scalar()}

    def equations(self):
        storage = pm.NoStorage if self.steady else None
        return {"u": pm.Balance(flux=(self.flow,), source=(self.load,), storage=storage)}

    def flow(self, p):
        return -self.k(p) * p.grad.u

    def load(self, p):
        return self.f(p)


class Transport(pm.PDE):
    """∂u/∂t + ∂/∂x (½u² − ν ∂u/∂x) = s cos x."""

    nu: pm.Coefficient = pm.coefficient(0.05)
    s: pm.Coefficient = pm.coefficient(0.0)
    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.convection, self.diffusion), source=(self.load,))}

    def convection(self, p):
        return 0.5 * p.u**2 * jnp.ones_like(p.x)

    def diffusion(self, p):
        return -self.nu(p) * p.grad.u

    def load(self, p):
        return self.s(p) * jnp.cos(p.x[0])


class Beam(pm.PDE):
    """d⁴u/dx⁴ = 24, by w = d²u/dx²."""

    fields = {"u": pm.Scalar(), "w": pm.Scalar()}

    def equations(self):
        return {
            "u": pm.Balance(flux=(self.shear,), source=(self.load,), storage=pm.NoStorage),
            "w": pm.Definition(flux=(self.slope,)),
        }

    def shear(self, p):
        return p.grad.w

    def slope(self, p):
        return p.grad.u

    def load(self, p):
        return 24.0


def smooth(x, t=0.0):
    return jnp.exp(jnp.sin(3 * x[0]))


def slope(x, t=0.0):
    return jax.grad(smooth)(x, t)[0]


def line_problem(boundary):
    curvature = lambda p: -jax.hessian(smooth)(p.x)[0, 0]
    return pm.Problem(
        Diffusion(f=curvature), pm.Interval(0.0, 2.0), boundary=boundary, exact={"u": smooth}
    )


def errors(solution, field="u", t=0.0, count=201):
    problem = solution.problem
    low, high = problem.domain.bounds
    axes = [
        np.linspace(low[d], high[d], count if problem.dim == 1 else 23) for d in range(problem.dim)
    ]
    x = jnp.asarray(np.stack(np.meshgrid(*axes), -1).reshape(-1, problem.dim))
    exact = jax.jit(jax.vmap(lambda y: problem.exact_value(field, y, t)))(x)
    return float(jnp.linalg.norm(solution[field](x, t) - exact) / jnp.linalg.norm(exact))


def test_points_differentiate_integrate_and_interpolate_polynomials():
    n = 9
    x = grid.lobatto(n)
    powers = np.arange(n)
    values = x[:, None] ** powers
    derivative = np.where(powers > 0, powers * x[:, None] ** np.maximum(powers - 1, 0), 0.0)
    np.testing.assert_allclose(grid.differentiation(n) @ values, derivative, atol=1e-12)
    integrals = np.where(powers % 2 == 0, 2 / (powers + 1), 0.0)
    np.testing.assert_allclose(grid.quadrature(n) @ values, integrals, atol=1e-14)
    at = np.linspace(-1, 1, 7)
    table = np.stack([grid.polynomials(jnp.asarray(s), -1.0, 1.0, n) for s in at])
    between = table @ grid.to_coefficients(n) @ values
    np.testing.assert_allclose(between, at[:, None] ** powers, atol=1e-14)


def test_poisson_on_a_square_to_round_off():
    exact = lambda x, t: jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1])
    load = lambda p: 2 * jnp.pi**2 * exact(p.x, 0.0)
    problem = pm.Problem(
        Diffusion(f=load), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}, exact={"u": exact}
    )
    assert errors(pm.Chebyshev(points=24).solve(problem)) < 1e-12


def test_all_conditions_on_a_square():
    exact = lambda x, t: jnp.exp(x[0]) * jnp.cos(2 * x[1])
    gradient = jax.grad(exact)
    problem = pm.Problem(
        Diffusion(f=lambda p: 3 * exact(p.x, 0.0)),
        pm.Rectangle(),
        boundary={
            "left": pm.Dirichlet(u=exact),
            "right": pm.Neumann(u=lambda x, t: -gradient(x, t)[0]),
            "bottom": pm.Robin(u=lambda p: p.u - exact(p.x, 0.0) + gradient(p.x, 0.0)[1]),
            "top": pm.Dirichlet(u=exact),
        },
        exact={"u": exact},
    )
    assert errors(pm.Chebyshev(points=(14, 18)).solve(problem)) < 1e-10


@pytest.mark.parametrize(
    "boundary",
    [
        {"all": pm.Dirichlet(u=smooth)},
        {"left": pm.Dirichlet(u=smooth), "right": pm.Neumann(u=lambda x, t: -slope(x))},
        {
            "left": pm.Robin(u=lambda p: p.u - smooth(p.x) + slope(p.x)),
            "right": pm.Dirichlet(u=smooth),
        },
    ],
    ids=["Dirichlet", "Neumann", "Robin"],
)
def test_conditions_on_a_line_with_panels(boundary):
    solution = pm.Chebyshev(points=20, panels=(0.0, 0.5, 0.8, 1.4, 2.0)).solve(
        line_problem(boundary)
    )
    assert errors(solution) < 1e-10


def test_convergence_is_spectral():
    problem = line_problem({"all": pm.Dirichlet(u=smooth)})
    found = [errors(pm.Chebyshev(points=n, panels=2).solve(problem)) for n in (8, 16, 24)]
    assert found[1] < 1e-3 * found[0]
    assert found[2] < 1e-2 * found[1]


def test_condensed_jacobian_solves_the_full_system():
    problem = pm.library.burgers()
    system = LineSystem(problem, np.array([-1.0, -0.2, 0.1, 1.0]), 7)
    z = 0.5 * jax.random.normal(jax.random.key(0), (3, 1, 7))
    right = jax.random.normal(jax.random.key(1), z.shape)
    t, alpha = jnp.asarray(0.3), jnp.asarray(0.01)

    def rows(flat):
        return system.residual(flat.reshape(z.shape), jnp.zeros_like(z), t, alpha).reshape(-1)

    @jax.jit
    def solved():
        factors = system.factorise(z, t, alpha)
        return system.solve_factorised(factors, z, t, alpha, right, 0.0)

    full, found = jax.jit(jax.jacfwd(rows))(z.reshape(-1)), solved()
    np.testing.assert_allclose(full @ found.reshape(-1), right.reshape(-1), atol=1e-10)


def test_clamped_beam_by_a_definition():
    problem = pm.Problem(
        Beam(),
        pm.Interval(0.0, 1.0),
        boundary={"all": [pm.Dirichlet(u=0.0), pm.Neumann(w=0.0)]},
        exact={"u": lambda x, t: x[0] ** 2 * (1 - x[0]) ** 2},
    )
    assert errors(pm.Chebyshev(points=8, panels=3).solve(problem)) < 1e-12


def test_what_does_not_apply_says_what_does():
    method = pm.Chebyshev()
    values = {"all": pm.Dirichlet(u=0.0)}
    large = pm.Problem(Diffusion(), pm.Box((0,) * 4, (1,) * 4), boundary=values)
    assert "4 dimensions" in str(method.inapplicable(large))
    disk = pm.Problem(Diffusion(), pm.Disk(), boundary=values)
    assert "no interval, rectangle or box" in str(method.inapplicable(disk))
    ring = pm.Problem(
        Transport(), pm.Interval(0.0, 1.0, periodic=True), time=(0.0, 1.0), initial={"u": 0.0}
    )
    assert "pm.Fourier" in str(method.inapplicable(ring))
    with pytest.raises(pm.NotApplicable, match="periodic"):
        method.solve(ring)


def test_bad_options_are_refused():
    problem = line_problem({"all": pm.Dirichlet(u=smooth)})
    with pytest.raises(ValueError, match="at least 4"):
        pm.Chebyshev(points=2).solve(problem)
    with pytest.raises(ValueError, match="increasing edges"):
        pm.Chebyshev(panels=(0.0, 1.5, 1.0, 2.0)).solve(problem)
    with pytest.raises(ValueError, match="the domain from 0 to 2"):
        pm.Chebyshev(panels=(0.0, 1.0)).solve(problem)


def test_double_precision_is_needed(float32):
    problem = pm.Problem(Diffusion(), pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)})
    with pytest.raises(ValueError, match="jax_enable_x64"):
        pm.Chebyshev().solve(problem)


def test_newton_that_diverges_is_an_error():
    # −u″ = λ eᵘ has no solution beyond λ ≈ 3.51 (Bratu).
    bratu = Diffusion(f=lambda p: 5.0 * jnp.exp(p.u))
    problem = pm.Problem(bratu, pm.Interval(0.0, 1.0), boundary={"all": pm.Dirichlet(u=0.0)})
    with pytest.raises(pm.SolverError, match="did not converge") as error:
        pm.Chebyshev(points=16, panels=1).solve(problem)
    assert error.value.reason == "newton_diverged"
