"""Weak residuals on meshes: against paper, each other, and the energy norm of the error."""

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
    MeshVariational,
    SummedBlock,
    distance_constraints,
    equation_residual,
    local_batch,
    nodal_batch,
    nodal_tests,
    stacked,
)
from physml.methods import MeshVPINN, RobustVPINN
from physml.optimizers import PointBlock
from tests.losses._exact import exact_collocation
from tests.losses.test_mesh_tests import distorted


class Skew(pm.PDE):
    """−∇·(K(x) ∇u) + ∂(u²)/∂x = 0 with a full tensor that varies: affine in the gradients."""

    linear: bool = eqx.field(static=True, default=False)
    fields = {"u": pm.Scalar()}

    def equations(self):
        flux = (self.diffusion,) if self.linear else (self.diffusion, self.transport)
        return {"u": pm.Balance(flux=flux, storage=pm.NoStorage)}

    def diffusion(self, p):
        tensor = jnp.array([[1 + p.x[0] ** 2, 0.3 * p.x[1]], [0.2, jnp.exp(p.x[0])]])
        return -tensor @ p.grad.u + 0.5 * p.u

    def transport(self, p):
        return jnp.array([p.u**2, 0.0])


def wave(x, t):
    return jnp.sin(2 * x[0] + x[1]) + x[0] * x[1] ** 2


def skew(pde=Skew):
    return pm.Problem(pde(), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)})


@pytest.fixture(scope="module")
def rows():
    """The same tests, with the flux integrated by parts once, twice, and never."""
    problem, mesh = skew(), distorted()
    conditions, params = exact_collocation(problem, {"u": wave})
    cells = local_batch(conditions, mesh, 2, 18, twice=True)
    found = {}
    for twice in (True, False):
        tests = cells["tests"] if twice else cells["tests"][..., :3]
        objective = MeshVariational(conditions, twice=twice)
        block = objective.equation_blocks({"cells": {**cells, "tests": tests}})["equation u"]
        found[twice] = eqx.filter_jit(block.residual)(params)
    points = cells["points"]

    def strong(x, t):
        return equation_residual(problem, "u", lambda y, s: {"u": wave(y, s)}, x, t)[0]

    values = jax.jit(jax.vmap(jax.vmap(strong)))(points["x"], points["t"])
    found["strong"] = jnp.einsum("etq,eq->et", cells["tests"][..., 0], values).reshape(-1)
    return found


def test_parts_once_twice_and_never_agree(rows):
    """On cells that no affine map gives, for a tensor that varies."""
    scale = float(jnp.abs(rows["strong"]).max())
    assert scale > 0.1
    np.testing.assert_allclose(rows[False], rows["strong"], atol=1e-8 * scale)
    np.testing.assert_allclose(rows[True], rows["strong"], atol=1e-8 * scale)


def test_twice_needs_fluxes_affine_in_the_gradients():
    class Nonlinear(pm.PDE):
        fields = {"u": pm.Scalar()}

        def equations(self):
            return {"u": pm.Balance(flux=(self.flux,), storage=pm.NoStorage)}

        def flux(self, p):
            return -(1 + p.u**2) * p.grad.u

    problem = skew(Nonlinear)
    assert MeshVPINN(parts=1).inapplicable(problem) is None
    assert "parts=1" in (MeshVPINN(parts=2).inapplicable(problem) or "")
    with pytest.raises(ValueError, match="parts is 1, or 2 with functions='legendre'"):
        MeshVPINN(parts=2, functions="nodal")
    for method in (MeshVPINN(), RobustVPINN()):
        assert "pm.VPINN" in (method.inapplicable(library.heat()) or "")


def quadratic(x, t):
    return x[0] ** 2 + x[0] * x[1] - 2 * x[1] ** 2


def test_rows_of_nodal_tests_hold_all_kinds_of_conditions():
    """−∇²u = 2 with u quadratic: Neumann and Robin rows vanish to round-off, and only there."""
    boundary = {
        "left": pm.Dirichlet(u=quadratic),
        "right": pm.Neumann(u=lambda x, t: -(2 * x[0] + x[1])),
        "bottom": pm.Robin(u=lambda p: p.u - quadratic(p.x, 0.0) + p.x[0]),
        "top": pm.Neumann(u=lambda x, t: -(x[0] - 4 * x[1])),
    }
    problem = pm.Problem(library.Poisson(f=2.0), pm.Rectangle(), boundary=boundary)
    mesh = pm.Rectangle().mesh(cells=3)
    for function, expected in ((quadratic, 0.0), (lambda x, t: quadratic(x, t) + 0.1, 0.1)):
        conditions, params = exact_collocation(problem, {"u": function})
        tests = nodal_tests(mesh, 2, 6)
        batch, numbers = nodal_batch(conditions, mesh, tests, 6)
        size = int(numbers["u"].max()) + 1
        assert size == tests.size - 7
        objective = MeshVariational(conditions, sizes={"u": size})
        points = stacked(conditions.sample({"boundary": 8}, 0))
        blocks = objective.blocks(points | batch)
        assert set(blocks) == {"equation u", "boundary left u"}
        found = eqx.filter_jit(blocks["equation u"].residual)(params)
        # A constant c is seen by the Robin condition alone: ∮ c v, which adds up to c.
        inside = tests.space.coordinates[numbers["u"][:, 0] >= 0]
        off = np.abs(np.asarray(found)[inside[:, 1] > 1e-9])
        assert off.max() < 1e-13
        on = np.asarray(found)[inside[:, 1] < 1e-9].sum()
        # The node in the corner is prescribed: its test, ∫ v = h/6, has no row.
        assert on == pytest.approx(expected * (1 - 1 / 18), abs=1e-13)


def product(x):
    return x[0] * (1 - x[0]) * x[1] * (1 - x[1])


def test_robust_loss_is_the_energy_norm_of_the_error():
    """rᵀG⁻¹r = ‖∇(u − w)‖² where u − w is one of the tests; ‖∇ x(1−x)y(1−y)‖² = 1/45."""
    load = lambda p: 2 * (p.x[0] * (1 - p.x[0]) + p.x[1] * (1 - p.x[1]))
    problem = pm.Problem(
        library.Poisson(f=load), pm.Rectangle(), boundary={"all": pm.Dirichlet(u=0.0)}
    )
    method = RobustVPINN(cells=2, degree=4, cell_shape="quadrilateral")
    setup = method.setup(problem, 0)
    objective = setup.objective
    assert isinstance(objective, MeshVariational)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    trial, _ = exact_collocation(problem, {"u": lambda x, t: 0.3 * product(x)})
    stand_in = eqx.tree_at(lambda o: o.conditions, objective, trial)
    block = stand_in.equation_blocks(batch)["equation u"]
    loss = float(jnp.sum(block.residual(exact_collocation(problem, {"u": product_at})[1]) ** 2))
    assert loss == pytest.approx(0.7**2 / 45, rel=1e-10)


def test_the_distance_as_an_input_is_the_same_near_a_point():
    """At quadrature points the factor is known to first order: values and slopes agree there."""
    problem = pm.Problem(
        library.Poisson(f=1.0), pm.Disk(radius=1.0), boundary={"all": pm.Dirichlet(u=0.0)}
    )
    method = MeshVPINN(cells=4, distances=True, network=functools.partial(pm.MLP, width=5, depth=1))
    setup = method.setup(problem, 0)
    objective = setup.objective
    assert isinstance(objective, MeshVariational)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    point = jax.tree.map(lambda leaf: leaf[3, 2], batch["cells"]["points"])
    zero = jnp.zeros(())
    found = objective.fields(setup.params, point)
    expected = objective.conditions.fields(setup.params)
    slope = lambda f: jax.jacfwd(lambda y: f(y, zero)["u"])(point["x"])
    for a, b in (
        (f(point["x"], zero)["u"] for f in (found, expected)),
        map(slope, (found, expected)),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    network = objective.conditions.bound(setup.params)[1]
    assert network.in_size == 3


def product_at(x, t):
    return product(x)


def test_summed_blocks_share_rows():
    data = {"x": jnp.arange(3.0)}
    parts = tuple(PointBlock(lambda p, q, k=k: jnp.sin(k * p * q["x"]), data) for k in (1.0, 2.0))
    matrix = jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]])
    block = SummedBlock(parts, matrix)
    theta = jnp.array(0.3)
    residual, jacobian = block.jacobian(theta)
    np.testing.assert_allclose(
        residual, matrix @ (jnp.sin(0.3 * data["x"]) + jnp.sin(0.6 * data["x"])), rtol=1e-12
    )
    expected = jax.jacfwd(block.residual)(theta)
    np.testing.assert_allclose(jacobian[:, 0], expected, rtol=1e-12)


def test_hard_conditions_on_a_mesh_by_the_distance_to_its_facets():
    """u = g + φN takes g on the boundary, and near a point has the right value and slope."""
    domain = pm.MeshDomain(pm.LShape().mesh(cells=4))
    boundary = {"all": pm.Dirichlet(u=lambda x, t: x[0] + 2 * x[1])}
    problem = pm.Problem(library.Poisson(), domain, boundary=boundary)
    hard = distance_constraints(problem, ("u",), "hard")
    assert not hard.notes and len(hard.boundary) == len(domain.boundary_names)
    shaping = hard.shaping["u"]
    zero = jnp.zeros(())
    on = jnp.asarray(domain.sample_boundary(40, seed=1).points)
    values = jax.vmap(lambda x: shaping(jnp.full(1, 5.0), x, zero)[0])(on)
    np.testing.assert_allclose(values, on[:, 0] + 2 * on[:, 1], atol=1e-6)
    from physml.losses import local_shaping

    inside = jnp.asarray(domain.sample_interior(5, seed=2))
    local = local_shaping(shaping, inside)
    output = lambda x: jnp.sin(x[:1])
    for i, x in enumerate(inside):
        near = jax.tree.map(lambda leaf, i=i: leaf[i], local)
        direction = (jnp.array([0.6, 0.8]),)
        found = jax.jvp(lambda y, near=near: near(output(y), y, zero), (x,), direction)
        exact = jax.jvp(lambda y: shaping(output(y), y, zero), (x,), direction)
        np.testing.assert_allclose(found, exact, rtol=1e-11)


def test_jacobian_of_nodal_rows():
    method = MeshVPINN(
        cells=2,
        functions="nodal",
        tests=1,
        network=lambda i, o, *, key: eqx.nn.MLP(i, o, 3, 1, jnp.tanh, key=key),
    )
    boundary = {"all": pm.Dirichlet(u=0.0), "top": pm.Neumann(u=1.0)}
    problem = pm.Problem(library.Poisson(f=1.0), pm.Rectangle(), boundary=boundary)
    setup = method.setup(problem, 0)
    objective = setup.objective
    assert isinstance(objective, MeshVariational)
    batch = setup.sampler(jax.random.key(0), setup.params, 0)
    theta, unravel = ravel_pytree(setup.params)
    _, jacobian = eqx.filter_jit(objective.jacobian)(setup.params, batch)
    expected = jax.jit(jax.jacfwd(lambda v: objective.residual(unravel(v), batch)))(theta)
    np.testing.assert_allclose(jacobian, expected, atol=1e-12)
