"""−∇²u = 1 by finite elements on domains of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdes import Dirichlet, Problem
from pdes.domain import Disk, MeshDomain
from pdes.library import Poisson
from solvers.fem import FiniteElement


def torsion(domain):
    return Problem(Poisson(f=1.0), domain, boundary={"all": Dirichlet(u=0.0)})


def error(domain, method):
    # u = (1 − |x|²)/4 on the unit disk.
    x = jnp.asarray(Disk().sample_interior(200) * 0.9)
    u = jax.vmap(method.solve(torsion(domain))["u"])(x)
    return float(np.abs(u - (1 - np.sum(x**2, axis=1)) / 4).max())


def test_second_order_on_disks():
    coarse, fine = (error(Disk(), FiniteElement(degree=1, cells=n)) for n in (8, 16))
    assert np.log2(coarse / fine) == pytest.approx(2.0, abs=0.3)


def test_a_mesh_of_the_domain_is_refined():
    domain = MeshDomain(Disk().mesh(cells=24, curved=True))
    method = FiniteElement(degree=1)
    finer = method.refined(2.0)
    assert finer is not None
    assert len(finer.make_mesh(domain).cells) == 4 * len(method.make_mesh(domain).cells)
    assert error(domain, finer) < 0.4 * error(domain, method)


def test_a_number_of_cells_is_refused_where_the_mesh_is_given():
    domain = MeshDomain(Disk().mesh(cells=4))
    with pytest.raises(ValueError, match="brings its own mesh"):
        FiniteElement(cells=9).make_mesh(domain)
    with pytest.raises(ValueError, match="brings a mesh of triangle cells"):
        FiniteElement(cell_shape="quadrilateral").make_mesh(domain)
