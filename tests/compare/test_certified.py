"""A comparison shows the certificate of a neural method beside its true error."""

import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from tests.compare._stand_ins import Halving, Oracle


def test_certificates_in_the_table_and_on_disk(tmp_path):
    """(1 + ε) u is off by ε in every norm, so that the relative estimate is ε/(1 + ε)."""
    problem = pm.Problem(
        pm.library.Poisson(f=lambda p: jnp.pi**2 * jnp.sin(jnp.pi * p.x[0])),
        pm.Interval(0.0, 1.0),
        boundary={"all": pm.Dirichlet(u=0.0)},
        exact={"u": lambda x, t: jnp.sin(jnp.pi * x[0])},
        name="rod",
    )
    methods = [Oracle(1e-3, "numerical"), Halving(0.0, "network")]
    found = pm.compare(problem, methods, steps=6, certify=True, out=tmp_path)
    trial = found["network"].trials[0]
    assert trial.certificate is not None
    offset = 0.5**6
    assert trial.certificate["relative"] == pytest.approx(offset / (1 + offset), rel=1e-5)
    assert trial.effectivity == pytest.approx(1.0, abs=1e-5)
    assert found["numerical"].trials[0].certificate is None
    text = str(found)
    assert "(energy)" in text and "effectivity" in text
    again = pm.compare(problem, methods, steps=6, certify=True, out=tmp_path, resume=True)
    assert again["network"].trials[0].certificate == trial.certificate
    without = pm.compare(problem, methods[:1], certify=True)
    assert "effectivity" not in str(without)
    assert np.isnan(without["numerical"].trials[0].effectivity)
