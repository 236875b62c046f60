"""Strong residuals against hand-written ones, gradients with respect to coefficients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pdes
from pdes import Balance, Definition, Interval, Rectangle, Scalar, manufactured
from pdes.library import Burgers, Heat, KleinGordon, NavierStokes, Poisson


def test_burgers_equals_the_hand_written_residual():
    from pdes.library import burgers

    problem = burgers()
    nu = 0.01 / jnp.pi

    def u(x, t):
        return jnp.exp(-t) * jnp.sin(3 * x)

    def by_hand(x, t):
        u_t = jax.grad(u, 1)(x, t)
        u_x = jax.grad(u)(x, t)
        u_xx = jax.grad(jax.grad(u))(x, t)
        return u_t + u(x, t) * u_x - nu * u_xx

    @jax.jit
    def both(x, t):
        fields = lambda x, t: {"u": u(x[0], t)}
        return problem.residual(fields, x[None], t)["u"], by_hand(x, t)

    for x, t in [(0.3, 0.2), (-0.7, 0.9)]:
        np.testing.assert_allclose(*both(x, t), rtol=1e-14)


class Biharmonic(pdes.PDE):
    """∇⁴u = f through w = ∇²u; isotropic, unlike Σ∂ᵢ⁴."""

    fields = {"u": Scalar(), "w": Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.bending,), storage=pdes.NoStorage),
            "w": Definition(flux=(self.slope,)),
        }

    def bending(self, p):
        return p.grad.w

    def slope(self, p):
        return p.grad.u


def test_fourth_order_by_substitution_is_isotropic():
    problem = pdes.Problem(
        Biharmonic(),
        Rectangle((0, 0), (2 * np.pi, 2 * np.pi), periodic=True),
        gauge={"u": pdes.ZeroMean()},
    )

    def u(x, t):
        return {"u": jnp.sin(2 * x[0]) * jnp.cos(3 * x[1])}

    x = jnp.array([0.4, 1.1])
    expected = (4 + 9) ** 2 * jnp.sin(0.8) * jnp.cos(3.3)
    residual = jax.jit(lambda x: problem.residual(u, x))(x)
    np.testing.assert_allclose(residual["u"], expected, rtol=1e-13)


def test_manufactured_with_inertia_and_nonlinear_source():
    def exact(x, t):
        return jnp.sin(2 * x[0] - t) + t**2

    problem = manufactured(KleinGordon(beta=0.3), Interval(0, 1), {"u": exact}, time=(0.5, 1.0))
    x, t = jnp.array([0.3]), 0.7
    fields = lambda x, t: {"u": exact(x, t)}
    residual = jax.jit(lambda x, t: problem.residual(fields, x, t))(x, t)["u"]
    np.testing.assert_allclose(residual, 0.0, atol=1e-14)
    np.testing.assert_allclose(problem.initial["u"](x), exact(x, 0.5))
    np.testing.assert_allclose(problem.initial_rate["u"](x), -jnp.cos(0.6 - 0.5) + 1.0)


def test_manufactured_navier_stokes_with_pressure():
    exact = {
        "u": lambda x, t: jnp.stack([x[0] ** 2 * x[1], x[1] ** 3]),
        "p": lambda x, t: x[0] * x[1],
    }
    problem = manufactured(
        NavierStokes(), Rectangle(), exact, gauge={"p": pdes.Pin((0.0, 0.0), p=0.0)}
    )
    fields = lambda x, t: {n: f(x, t) for n, f in exact.items()}
    residual = jax.jit(lambda x: problem.residual(fields, x))(jnp.array([0.3, 0.8]))
    np.testing.assert_allclose(residual["u"], 0.0, atol=1e-14)
    np.testing.assert_allclose(residual["p"], 0.0, atol=1e-14)


def test_residual_is_differentiable_in_a_coefficient():
    problem = pdes.Problem(
        Heat(kappa=0.7),
        Interval(0, 1),
        time=(0, 1),
        initial={"u": 0.0},
        boundary={"all": pdes.Dirichlet(u=0.0)},
    )

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(pde):
        made = problem.replace(pde=pde)
        fields = lambda x, t: {"u": jnp.sin(x[0]) * t}
        return made.residual(fields, jnp.array([0.5]), 0.25)["u"]

    # ∂/∂κ of u_t − κ u_xx is −u_xx = sin(x) t.
    found = gradient(problem.pde).kappa.value
    np.testing.assert_allclose(found, np.sin(0.5) * 0.25, rtol=1e-14)


def test_coefficient_kinds_stand_for_each_other():
    x = jnp.array([0.2, 0.9])

    def residual(k):
        problem = pdes.Problem(Poisson(k=k), Rectangle(), boundary={"all": pdes.Dirichlet(u=0.0)})
        fields = lambda x, t: {"u": x[0] ** 2 + x[1]}
        return jax.jit(lambda x: problem.residual(fields, x)["u"])(x)

    np.testing.assert_allclose(residual(2.0), -4.0)
    np.testing.assert_allclose(residual(np.diag([2.0, 5.0])), -4.0)
    # −∇·(x ∇u) = −(2x + 2x) for u = x² + y and k = x.
    np.testing.assert_allclose(residual(lambda p: p.x[0]), -0.8)
    network = eqx.nn.MLP(2, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
    made = residual(pdes.NetworkCoefficient(network))
    k = lambda y: network(y)[0]
    by_hand = -(2 * k(x) + jax.grad(k)(x) @ jnp.array([0.4, 1.0]))
    np.testing.assert_allclose(made, by_hand, rtol=1e-12)


def test_float32_stays_float32():
    problem = pdes.Problem(
        Burgers(), Interval(-1, 1), (0, 1), {"u": 0.0}, boundary={"all": pdes.Dirichlet(u=0.0)}
    )
    x = jnp.array([0.3], jnp.float32)
    p = pdes.point_of(lambda x, t: {"u": jnp.sin(x[0])}, x, jnp.float32(0.0))
    assert p.u.dtype == jnp.float32
    assert problem.initial["u"](x).dtype in (jnp.float32, jnp.float64)
