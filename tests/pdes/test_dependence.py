"""What a term depends on, read off its jaxpr."""

import jax
import jax.numpy as jnp
import pytest

import pdes
from pdes import Scalar, Vector, term_dependence
from pdes._pde import field_shapes, sample_point
from pdes.library import Burgers, Elasticity, NavierStokes, Poisson


class Fields(pdes.PDE):
    fields = {"u": Scalar(), "v": Vector()}

    def equations(self):
        return {}


POINT = sample_point(field_shapes(Fields(), 2), 2)


@pytest.mark.parametrize(
    ("term", "values", "gradients", "affine", "constant"),
    [
        (lambda p: 0.5 * p.u**2 * jnp.ones_like(p.x), {"u"}, set(), False, False),
        (lambda p: 2.0 * p.grad.u, set(), {"u"}, True, True),
        (lambda p: p.x * p.u, {"u"}, set(), True, False),
        (lambda p: p.u + jnp.sin(p.t) * p.x, {"u"}, set(), True, True),
        (lambda p: jnp.exp(-p.t) * p.grad.u, set(), {"u"}, True, False),
        (lambda p: p.grad.v @ p.v, {"v"}, {"v"}, False, False),
        (lambda p: p.div.v, set(), {"v"}, True, True),
        (lambda p: jnp.where(p.x[0] > 0, p.u, 2 * p.u), {"u"}, set(), True, False),
        (lambda p: jnp.where(p.u > 0, p.u, 2 * p.u), {"u"}, set(), False, False),
        (lambda p: jax.jit(jnp.tanh)(p.u), {"u"}, set(), False, False),
        (lambda p: jax.jit(lambda a, b: 3.0 * a)(p.grad.u, p.u), set(), {"u"}, True, True),
        (lambda p: jnp.abs(p.u), {"u"}, set(), False, False),
        (lambda p: jnp.sum(p.x**2), set(), set(), True, True),
        (lambda p: jnp.linalg.norm(p.grad.u), set(), {"u"}, False, False),
    ],
)
def test_term(term, values, gradients, affine, constant):
    found = term_dependence(term, POINT)
    assert found.values == values
    assert found.gradients == gradients
    assert found.affine is affine
    assert found.constant is constant


def test_forms_of_the_library():
    def affine(pde, field="u"):
        form = pde.forms(2)[field]
        return form.is_affine, form.is_constant

    assert affine(Poisson()) == (True, True)
    assert affine(Poisson(k=lambda p: 1 + p.x[0])) == (True, False)
    assert affine(Poisson(k=lambda p: 1 + p.u)) == (False, False)
    assert affine(Burgers()) == (False, False)
    assert affine(Elasticity()) == (True, True)
    assert affine(NavierStokes()) == (False, False)
    assert affine(NavierStokes(), "p") == (True, True)


def test_a_network_coefficient_of_the_field_is_not_affine():
    network = lambda y: jnp.tanh(y)
    closure = pdes.NetworkCoefficient(network, inputs=lambda p: p.u)
    assert not Poisson(k=closure).forms(2)["u"].is_affine
    field = pdes.NetworkCoefficient(network, inputs=lambda p: p.x[:1])
    assert Poisson(k=field).forms(2)["u"].is_affine
