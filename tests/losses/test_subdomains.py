"""Subdomains of any kind: what they hold, where they meet, what jumps there."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import physml as pm
from pdes import library
from physml.losses import (
    SOFT,
    Collocation,
    Subdivided,
    SubdomainTrial,
    interface_jumps,
    make_subdomains,
    stacked,
)
from physml.networks import MLP
from physml.networks import partition as split

COUNTS = {"boundary": 24, "initial": 8, "interface": 12}
LEFT = pm.Polygon([(0.0, 0.0), (0.4, 0.0), (0.7, 1.0), (0.0, 1.0)])
RIGHT = pm.Polygon([(0.4, 0.0), (1.0, 0.0), (1.0, 1.0), (0.7, 1.0)])


def materials():
    """The unit square, of two materials that meet at x = ½."""
    mesh = pm.Rectangle().mesh(cells=4)
    inside = mesh.points[mesh.cells].mean(axis=1)[:, 0] > 0.5
    mesh = dataclasses.replace(mesh, cell_regions=inside.astype(int), regions=("copper", "steel"))
    return pm.MeshDomain(mesh)


def conduction(domain, boundary, k):
    return pm.Problem(library.Poisson(k=k), domain, boundary=boundary)


def on_square(domain=None, k=1.0):
    domain = pm.Rectangle() if domain is None else domain
    return conduction(domain, {"all": pm.Dirichlet(u=0.0)}, k)


PARTS = {
    "boxes": lambda: make_subdomains(on_square(), {"x": 0.5, "y": 0.3}),
    "polygons": lambda: make_subdomains(on_square(), [LEFT, RIGHT]),
    "materials": lambda: make_subdomains(on_square(materials()), None),
}


@pytest.mark.parametrize("kind", list(PARTS))
def test_points_lie_in_their_subdomain_and_interfaces_between_two(kind):
    parts = PARTS[kind]()
    assert parts.shares.sum() == pytest.approx(1.0)
    z = np.concatenate([parts.sample(k, 20, 0)["x"] for k in range(parts.size)])
    owners = np.repeat(np.arange(parts.size), 20)
    np.testing.assert_array_equal(parts.find(z), owners)
    index = jax.vmap(parts.index)(jnp.asarray(z))
    np.testing.assert_array_equal(index, owners)
    assert (z >= parts.lower[owners] - 1e-12).all() and (z <= parts.upper[owners] + 1e-12).all()
    faces = parts.interfaces(30, 0)
    assert faces
    for face in faces:
        np.testing.assert_allclose(np.linalg.norm(face.n, axis=1), 1.0, rtol=1e-12)
        for side, k in ((-1e-4, face.minus), (1e-4, face.plus)):
            moved = face.below + side * face.n
            inside = (moved > 0).all(axis=1) & (moved < 1).all(axis=1)
            near_corner = np.abs(face.below[:, 1:] - 0.3).min(axis=1) < 1e-3
            np.testing.assert_array_equal(parts.find(moved[inside & ~near_corner]), k)


def test_index_passes_through_derivatives():
    """The part of a point is found on the host, and has no derivative."""
    parts = PARTS["polygons"]()
    found = jax.jit(jax.jacfwd(lambda z: jnp.array([2.0, 5.0])[parts.index(z)] * z[0]))
    np.testing.assert_allclose(found(jnp.array([0.9, 0.5])), [5.0, 0.0])


def test_pieces_must_cover_the_domain():
    with pytest.raises(ValueError, match="lies in 0 of the pieces"):
        make_subdomains(on_square(), [LEFT])
    with pytest.raises(ValueError, match="lies in 2 of the pieces"):
        make_subdomains(on_square(), [pm.Rectangle(), RIGHT])
    with pytest.raises(ValueError, match="network: got 1 for 2 subdomains"):
        pm.CPINN(partition=[LEFT, RIGHT], network=[MLP]).discretize(on_square())
    with pytest.raises(pm.NotApplicable, match=r"give partition=\[domains"):
        pm.XPINN().discretize(library.poisson_disk())


class Plane(eqx.Module):
    """u = a · ξ + b in the coordinates of a subdomain."""

    slope: jax.Array
    level: jax.Array

    def __call__(self, z):
        return (self.slope @ z + self.level)[None]


def planes(problem, given, functions, joins=("value", "flux", "residual")):
    """`functions`, one linear function for each subdomain."""
    parts = make_subdomains(problem, given)
    networks = []
    for k, function in enumerate(functions):
        lower, upper = jnp.asarray(parts.lower[k]), jnp.asarray(parts.upper[k])
        middle = 0.5 * (lower + upper)
        slope = jax.grad(function)(middle) * 0.5 * (upper - lower)
        networks.append(Plane(slope, function(middle)))
    params, static = split({"network": tuple(networks), "pde": None})
    trial = SubdomainTrial(subdomains=parts, shapes=(("u", ()),), scales=(1.0,), shaping={})
    return Subdivided(Collocation(problem, trial, static, SOFT), joins), params


def test_flux_joins_materials_whose_coefficients_jump():
    """k = 100 | 1 at x = ½ and u = x/100 | x − 0.495: no jump of value nor of −k ∂u/∂x."""
    k = pm.ByRegion({"copper": 100.0, "steel": 1.0})
    problem = on_square(materials(), k)
    functions = (lambda z: z[0] / 100, lambda z: z[0] - 0.495)
    for given, case in (
        (None, problem),
        ({"x": 0.5}, on_square(k=lambda p: jnp.where(p.x[0] < 0.5, 100.0, 1.0))),
    ):
        objective, params = planes(case, given, functions)
        batch = stacked(objective.sample(COUNTS | {"interior": [6, 6]}, 0))
        found = eqx.filter_jit(objective.residuals)(params, batch)
        for name in ("value u 0|1", "flux u 0|1", "residual u 0|1", "equation u in 1"):
            assert float(jnp.abs(found[name]).max()) < 1e-9, name
        assert interface_jumps(objective, params)["u"] < 1e-9
    # With equal slopes the flux jumps by 99 of them, the values by nothing.
    objective, params = planes(case, {"x": 0.5}, (lambda z: z[0], lambda z: z[0]))
    found = eqx.filter_jit(objective.residuals)(params, batch)
    np.testing.assert_allclose(found["flux u 0|1"], -99 / 12**0.5, rtol=1e-9)
    assert interface_jumps(objective, params)["u"] == pytest.approx(0.99)


def test_jacobian_of_networks_that_differ():
    networks = [functools.partial(MLP, width=w, depth=1, activation=a)
                for w, a in ((3, "tanh"), (4, "sin"))]  # fmt: skip
    method = pm.XPINN(partition=[LEFT, RIGHT], network=networks, points=[4, 6], constraints="soft")
    setup = method.setup(on_square(), 0)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    objective = setup.objective
    assert isinstance(objective, Subdivided)
    theta, unravel = ravel_pytree(setup.params)
    _, jacobian = eqx.filter_jit(objective.jacobian)(setup.params, batch)
    expected = jax.jit(jax.jacfwd(lambda v: objective.residual(unravel(v), batch)))(theta)
    np.testing.assert_allclose(jacobian, expected, atol=1e-11 * float(jnp.abs(expected).max()))
    assert len(theta) == (3 * 3 + 4) + (3 * 4 + 5)
    names = set(objective.blocks(batch))
    assert {"equation u in 0", "residual u 0|1", "flux u 0|1", "boundary left u in 0"} <= names
    assert "boundary left u in 1" not in names
    # Shapes follow from the counts alone: another sample needs no new program.
    other = setup.sampler(jax.random.key(7), setup.params, 0)
    assert jax.tree.map(jnp.shape, other) == jax.tree.map(jnp.shape, batch)


def test_slabs_of_time():
    problem = library.wave()
    objective, params = planes(problem, {"t": 0.5}, (lambda z: z[0] + 3 * z[1],) * 2)
    batch = stacked(objective.sample(COUNTS | {"interior": [4, 4]}, 0))
    found = eqx.filter_jit(objective.residuals)(params, batch)
    for name in ("slab u 0|1", "slab rate u 0|1"):
        assert float(jnp.abs(found[name]).max()) < 1e-13
    assert not any(name.startswith(("value", "flux", "initial u in 1")) for name in found)
