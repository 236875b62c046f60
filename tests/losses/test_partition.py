"""Subdomains: where points belong, where interfaces are, and what jumps across them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes import library
from physml.losses import (
    SOFT,
    Collocation,
    Decomposed,
    PartitionTrial,
    flux_jump,
    make_partition,
    stacked,
)
from physml.networks import partition as split


def test_points_lie_in_the_box_of_their_subdomain():
    problem = library.burgers()
    parts = make_partition(problem, {"x": (-0.6, 0.2, 0.5), "t": 0.4})
    assert parts.counts == (4, 2)
    lower, upper = parts.boxes()
    rng = np.random.default_rng(0)
    x, t = rng.uniform(-1, 1, (200, 1)), rng.uniform(0, 1, 200)
    k = np.asarray(jax.vmap(parts.index)(jnp.asarray(x), jnp.asarray(t)))
    place = np.concatenate([x, t[:, None]], axis=1)
    assert (place >= lower[k]).all() and (place <= upper[k]).all()
    assert set(k.tolist()) == set(range(8))


def test_interfaces_have_their_neighbours_on_each_side():
    parts = make_partition(library.poisson(), (2, 2))
    points = parts.sample(40, 0, timelike=False)
    assert points is not None and parts.sample(40, 0, timelike=True) is None
    lower, upper = parts.boxes()
    for side, place in (("minus", "below"), ("plus", "above")):
        at, k = points[place], points[side]
        assert (at >= lower[k] - 1e-15).all() and (at <= upper[k] + 1e-15).all()
    crossing = upper[points["minus"]] * points["n"], lower[points["plus"]] * points["n"]
    np.testing.assert_allclose(*crossing)
    np.testing.assert_allclose(np.abs(points["n"]).sum(axis=1), 1.0)


def test_a_cut_periodic_direction_is_joined_at_its_ends():
    parts = make_partition(library.convection(), (2,))
    ends = sorted((under, over) for _, under, over in parts.interfaces())
    low, high = (float(v[0]) for v in library.convection().domain.bounds)
    middle = 0.5 * (low + high)
    assert ends == [(pytest.approx(middle), pytest.approx(middle)), (high, low)]
    assert parts.uncut() == (False,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"y": 0.1}, r"no direction 'y'; there are \['x', 't'\]"),
        ({"x": (0.5, 0.2)}, "must ascend"),
        ({"x": 1.0}, "must ascend"),
        ((2, 2), "expected 1 numbers of parts"),
    ],
)
def test_cuts_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        make_partition(library.burgers(), given)


class Planes(eqx.Module):
    """u_k = a_k · ξ + b_k in each subdomain's own coordinates."""

    slope: jax.Array
    level: jax.Array

    def __call__(self, z):
        return (self.slope @ z + self.level)[None]


def planes(problem, given, function):
    """Decomposed collocation of `function`, linear in the subdomain's coordinates."""
    parts = make_partition(problem, given)
    lower, upper = (jnp.asarray(corner) for corner in parts.boxes())
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    level = jax.vmap(function)(middle)
    slope = jax.vmap(jax.grad(function))(middle) * half
    params, static = split({"network": Planes(slope, level), "pde": None})
    trial = PartitionTrial(partition=parts, shapes=(("u", ()),), scales=(1.0,), shaping={})
    return Decomposed(Collocation(problem, trial, static, SOFT)), params


COUNTS = {"interior": 20, "boundary": 8, "initial": 8, "interface": 30}


def test_a_global_function_has_no_jumps():
    objective, params = planes(library.poisson(), (2, 3), lambda z: 2 * z[0] - z[1] + 0.5)
    found = eqx.filter_jit(objective.residuals)(params, stacked(objective.sample(COUNTS, 0)))
    for name in ("value u", "flux u"):
        assert float(jnp.abs(found[name]).max()) < 1e-14
    assert flux_jump(objective, params)["u"] < 1e-14


def test_a_kink_is_a_jump_of_flux_and_a_step_one_of_value():
    problem = library.poisson()
    objective, params = planes(problem, {"x": 0.5}, lambda z: jnp.abs(z[0] - 0.5))
    batch = stacked(objective.sample(COUNTS, 0))
    found = eqx.filter_jit(objective.residuals)(params, batch)
    scale = 30**-0.5
    assert float(jnp.abs(found["value u"]).max()) < 1e-14
    # F = −∇u is +1 below and −1 above.
    np.testing.assert_allclose(found["flux u"], -2 * scale, rtol=1e-12)
    assert flux_jump(objective, params)["u"] == pytest.approx(2.0)
    objective, params = planes(problem, {"x": 0.5}, lambda z: jnp.where(z[0] > 0.5, 3.0, 1.0))
    found = eqx.filter_jit(objective.residuals)(params, batch)
    np.testing.assert_allclose(found["value u"], 2 * scale, rtol=1e-12)
    np.testing.assert_allclose(found["flux u"], 0.0, atol=1e-14)


def test_each_side_of_an_interface_sees_its_own_coefficient():
    """k = 100 | 1 at x = ½ and u = x/100 | x − 0.495: no jump of value, of −k ∂u/∂x, of r."""

    def k(p):
        return jnp.where(p.x[0] < 0.5, 100.0, 1.0)

    problem = pm.Problem(
        library.Poisson(k=k, f=0.0), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}
    )
    smooth = lambda z: jnp.where(z[0] < 0.5, z[0] / 100, z[0] - 0.495)
    objective, params = planes(problem, {"x": 0.5}, smooth)
    objective = Decomposed(objective.inside, joins=("value", "flux", "residual"))
    batch = stacked(objective.sample(COUNTS, 0))
    found = objective.residuals(params, batch)
    for name in ("value u", "flux u", "residual u"):
        assert float(jnp.abs(found[name]).max()) < 1e-9, name
    assert flux_jump(objective, params)["u"] < 1e-9
    # With equal slopes the flux jumps by 99 of them.
    objective, params = planes(problem, {"x": 0.5}, lambda z: z[0])
    found = objective.residuals(params, batch)
    np.testing.assert_allclose(found["flux u"], 99 / 30**0.5, rtol=1e-9)


def test_slabs_of_time_are_joined_by_value_and_rate():
    objective, params = planes(library.wave(), {"t": 0.5}, lambda z: z[0] + 3 * z[1])
    found = eqx.filter_jit(objective.residuals)(params, stacked(objective.sample(COUNTS, 0)))
    assert {"slab u", "slab rate u"} <= set(found) and "value u" not in found
    for name in ("slab u", "slab rate u"):
        assert float(jnp.abs(found[name]).max()) < 1e-13


def test_boxes_only():
    reason = pm.CPINN().inapplicable(library.poisson_disk())
    assert reason is not None and "pm.PINN" in reason
