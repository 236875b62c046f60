"""Finite volumes on triangles: free streams, conservation, order, shocks, refusals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import physml as pm


class Diffusion(pm.PDE):
    """∂u/∂t = ∇·(K ∇u), with a full matrix K."""

    fields = {"u": pm.Scalar()}

    def equations(self):
        return {"u": pm.Balance(flux=(self.flow,))}

    def flow(self, p):
        return -jnp.array([[1.0, 0.3], [0.3, 0.5]]) @ p.grad.u


@eqx.filter_jit
def rate_at_the_start(system):
    return system.rate(system.initial_state(), jnp.zeros(()))


def rate(problem, **options):
    system = pm.FiniteVolume(cell_shape="triangle", **options).discretize(problem)
    return system, rate_at_the_start(system)


def gas(domain, start, boundary):
    data = {k: lambda x, k=k: pm.library.conserved(*start(x))[k] for k in ("rho", "m", "E")}
    return pm.Problem(pm.library.Euler(), domain, time=(0.0, 0.2), initial=data, boundary=boundary)


HOLE = pm.Rectangle((0.0, 0.0), (2.0, 1.0)) - pm.Disk((0.6, 0.5), 0.2, boundary="hole")


def test_a_uniform_flow_stays_and_walls_let_nothing_pass():
    uniform = lambda x: (1.2, jnp.array([0.3, 0.7]), 0.9)
    state = pm.library.conserved(*uniform(None))
    problem = gas(HOLE, uniform, {"all": pm.Dirichlet(**state), "right": pm.Outflow()})
    system, found = rate(problem, cells=12)
    np.testing.assert_allclose(found, 0.0, atol=1e-11)
    assert float(system.widths.sum()) == pytest.approx(2 - 0.04 * np.pi, rel=1e-2)

    def swirl(x):
        return 1 + x[0] * x[1], jnp.stack([x[1], -x[0]]), 1 + x[0] ** 2

    system, found = rate(gas(HOLE, swirl, {"all": pm.Wall()}), cells=12)
    total = found @ system.widths
    np.testing.assert_allclose(total[jnp.array([0, 3])], 0.0, atol=1e-13)
    assert float(jnp.abs(total[1:3]).min()) > 1e-2


def test_diffusion_leaves_a_plane_as_it_is():
    plane = lambda x: 1 + x[0] - 2 * x[1]
    # F = −K∇u = (−0.4, 0.7); outward at the right end.
    problem = pm.Problem(
        Diffusion(),
        HOLE,
        time=(0.0, 1.0),
        initial={"u": plane},
        boundary={"all": pm.Dirichlet(u=lambda x, t: plane(x)), "right": pm.Neumann(u=-0.4)},
    )
    _, found = rate(problem, cells=12)
    np.testing.assert_allclose(found, 0.0, atol=1e-9)


@pytest.mark.parametrize("limiter", ["venkatakrishnan", "barth_jespersen"])
def test_smooth_transport_is_of_second_order(limiter):
    exact = lambda k, t, x: 1 + 0.3 * jnp.sin(2 * jnp.pi * k * (x[0] + x[1] - 2 * t))
    start = lambda k, x: exact(k, 0.0, x)
    square = pm.Rectangle(periodic=True)
    method = pm.FiniteVolume(cells=32, cell_shape="triangle", limiter=limiter, frames=3)
    errors = []
    # With k waves across there are n/k cells a wave: both are compiled once.
    for k, frame in ((2.0, 1), (1.0, 2)):
        initial = {"u": Partial(start, jnp.asarray(k))}
        problem = pm.Problem(pm.library.Advection(a=1.0), square, time=(0.0, 0.25), initial=initial)
        solution = method.solve(problem)
        x, series = solution.representation.centroids, solution.representation.series
        t = series.times[frame]
        assert float(t) == 0.25 / k
        found = series.states[frame, :, 0, 0]
        errors.append(float(jnp.abs(found - jax.vmap(Partial(exact, k, t))(x)).mean()))
        # Straight in cells: between the centres it is of second order as well.
        assert float(jnp.abs(solution["u"](x + 1e-3, t) - found).max()) < 1e-2
    assert np.log2(errors[0] / errors[1]) > 1.7


def test_shock_tube_along_a_strip_of_triangles():
    wave = pm.library.exact_gas((1.0, 0.0, 1.0), (0.125, 0.0, 0.1))

    def start(x):
        left = x[0] < 0.5
        return jnp.where(left, 1.0, 0.125), jnp.zeros(2), jnp.where(left, 1.0, 0.1)

    strip = pm.Rectangle((0.0, 0.0), (1.0, 0.1))
    boundary = {"all": pm.Wall(), "left": pm.Outflow(), "right": pm.Outflow()}
    method = pm.FiniteVolume(cells=60, cell_shape="triangle", frames=2)
    solution = method.solve(gas(strip, start, boundary))
    functions = solution.representation
    rho, mx, my, energy = functions.series.states[-1, :, :, 0].T
    exact = wave((functions.centroids[:, 0] - 0.5) / 0.2)[0]
    assert float(jnp.abs(rho - exact).mean()) < 1.2e-2
    areas = method.discretize(solution.problem).widths
    assert float(rho @ areas) == pytest.approx(0.1 * 0.5625, abs=1e-8)
    assert float((0.4 * (energy - 0.5 * (mx**2 + my**2) / rho)).min()) > 0.099


def test_gradients_through_rates_on_triangles():
    def functional(theta):
        state = {"rho": theta[0], "m": jnp.stack([theta[1], 0.1]), "E": 2.5}
        start = lambda x: (1 + 0.1 * x[0] * x[1], jnp.array([0.3, 0.1]), 1.0)
        boundary = {"all": pm.Wall(), "left": pm.Dirichlet(**state), "right": pm.Outflow()}
        _, found = rate(gas(pm.Rectangle(), start, boundary), cells=4)
        return jnp.sum(found**2)

    theta, h = jnp.array([1.1, 0.4]), 1e-6
    both = jax.jit(jax.value_and_grad(functional))
    gradient = both(theta)[1]
    for i in range(2):
        step = jnp.zeros(2).at[i].set(h)
        difference = (both(theta + step)[0] - both(theta - step)[0]) / (2 * h)
        assert float(gradient[i]) == pytest.approx(float(difference), rel=1e-6)


def test_refusals_on_triangles():
    problem = gas(HOLE, lambda x: (1.0, jnp.zeros(2), 1.0), {"all": pm.Wall()})
    with pytest.raises(ValueError, match="on triangles use reconstruction='muscl'"):
        pm.FiniteVolume(cell_shape="triangle", reconstruction="weno5")
    with pytest.raises(ValueError, match=r"limiter is one of \['barth_jespersen'"):
        pm.FiniteVolume(cell_shape="triangle", limiter="mc")
    with pytest.raises(pm.NotApplicable, match=r"not a box.*cell_shape='triangle'"):
        pm.FiniteVolume().solve(problem)
    with pytest.raises(pm.NotApplicable, match="triangles cover the plane"):
        pm.FiniteVolume(cell_shape="triangle").solve(pm.library.sod())
    squares = pm.Rectangle().mesh(4, "quadrilateral")
    with pytest.raises(ValueError, match="triangles in the plane, got quadrilateral"):
        pm.FiniteVolume(mesh=squares).discretize(problem)
