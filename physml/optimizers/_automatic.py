"""The optimizer that suits the numbers of parameters and residuals, and the device."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ._dsgnar import DSGNAR
from ._gauss_newton import GaussNewton
from ._lbfgs import LBFGS
from ._linearised import check_residuals, count_parameters
from ._memory import in_bytes
from ._objective import LeastSquares, Objective
from ._optimizer import Optimizer
from ._self_scaled import SelfScaledBroyden
from ._soap import SOAP

# Float64 operations a second that a factorisation reaches: two cores of a CPU; a GPU with a
# tenth of its double precision, since LAPACK's part of a step stays on the host.
_RATES = {"cpu": 4e10, "gpu": 1e12}
# A second-order step that takes longer leaves too few of them in the minutes that people wait.
_SLOWEST = 2.0
# Parameters for which a dense inverse Hessian, updated at each step, is still quick to read.
_DENSE = 10_000


def automatic(
    objective: Objective, params: Any, batch: Any, device: str | None = None
) -> tuple[Optimizer, str]:
    """The optimizer that is likely to end lowest in a minute or two, and why.

    With P parameters and N residuals a step of Gauss–Newton takes N P² + P³/3 operations and its
    Jacobian 8 N P bytes:

    - `GaussNewton` where a step takes less than two seconds and its own limit of memory;
    - `DSGNAR` beyond, in a random subspace, where its sketch is within its limit;
    - `SelfScaledBroyden` for a loss that is no sum of squares, up to 10 000 parameters;
    - `SOAP` for everything else in float32, and `LBFGS` in float64.

    Arguments:
        device: "cpu" or "gpu"; that of JAX's default back end where it is None.

    Raises:
        ValueError: another device, or no parameters. TypeError: parameters that are not real.
    """
    device = device or ("cpu" if jax.default_backend() == "cpu" else "gpu")
    if device not in _RATES:
        raise ValueError(f"device is one of {sorted(_RATES)} or None, got {device!r}.")
    size = count_parameters(params)
    double = all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params))
    text = f"{size} parameters in {'float64' if double else 'float32'} on a {device.upper()}"
    if not double:
        return SOAP(), f"SOAP: {text}"
    if not isinstance(objective, LeastSquares):
        chosen = SelfScaledBroyden() if size <= _DENSE else LBFGS()
        return chosen, f"{type(chosen).__name__}: {text}, a loss that is no sum of squares"
    rows, _ = check_residuals(objective, params, batch, "Gauss–Newton")
    text = f"{rows} residuals of {text}"
    smaller, larger = sorted((rows, size))
    seconds = (larger * smaller**2 + smaller**3 / 3) / _RATES[device]

    def fits(optimizer: Optimizer) -> bool:
        try:
            optimizer.init(objective, params, batch)
        except ValueError:
            return False
        return True

    if seconds <= _SLOWEST and fits(GaussNewton()):
        return GaussNewton(), f"Gauss–Newton: {text}"
    memory = in_bytes(8.0 * rows * size)
    why = f"a step of Gauss–Newton would take {seconds:.0f} s and {memory}"
    chosen = DSGNAR() if fits(DSGNAR()) else LBFGS()
    return chosen, f"{type(chosen).__name__}: {text}, where {why}"
