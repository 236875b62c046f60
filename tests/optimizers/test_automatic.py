"""The automatic choice: sizes either side of each limit, precision, and losses of no squares."""

import jax.numpy as jnp
import pytest

from physml.optimizers import (
    DSGNAR,
    LBFGS,
    SOAP,
    GaussNewton,
    LeastSquares,
    ScalarObjective,
    SelfScaledBroyden,
    VectorBlock,
    automatic,
)


class Rows(LeastSquares):
    """As many residuals as the batch has numbers."""

    def blocks(self, batch):
        return {"all": VectorBlock(lambda p, data: data * p[0], batch)}


def chosen(parameters, residuals, device, dtype=jnp.float64):
    return automatic(Rows(), jnp.zeros(parameters, dtype), jnp.zeros(residuals), device)


@pytest.mark.parametrize(
    ("parameters", "residuals", "device", "kind"),
    [
        (1_000, 3_000, "cpu", GaussNewton),
        # N P² = 7.5e10 operations at 4e10 a second: just below two seconds; 1.1e11: above.
        (5_000, 3_000, "cpu", GaussNewton),
        (6_000, 4_000, "cpu", DSGNAR),
        (6_000, 4_000, "gpu", GaussNewton),
        # A Jacobian of 16 GB.
        (200_000, 10_000, "gpu", DSGNAR),
        (200_000, 600_000, "cpu", DSGNAR),
        # 800 columns of 700 000 rows are more than 4 GB.
        (200_000, 700_000, "cpu", LBFGS),
    ],
)
def test_the_choice_by_size_and_device(parameters, residuals, device, kind):
    optimizer, why = chosen(parameters, residuals, device)
    assert type(optimizer) is kind
    assert f"{residuals} residuals of {parameters} parameters" in why
    assert device.upper() in why
    if kind is not GaussNewton:
        assert "a step of Gauss–Newton would take" in why


def test_single_precision_takes_a_first_order_optimizer():
    optimizer, why = chosen(1_000, 3_000, "cpu", jnp.float32)
    assert type(optimizer) is SOAP
    assert "float32" in why


@pytest.mark.parametrize(("parameters", "kind"), [(10_000, SelfScaledBroyden), (10_001, LBFGS)])
def test_a_loss_that_is_no_sum_of_squares_takes_a_quasi_newton_method(parameters, kind):
    objective = ScalarObjective(lambda p, batch: p.sum())
    optimizer, why = automatic(objective, jnp.zeros(parameters), None)
    assert type(optimizer) is kind
    assert "no sum of squares" in why


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError, match="'tpu'"):
        chosen(10, 10, "tpu")
