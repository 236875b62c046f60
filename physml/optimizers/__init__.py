"""Optimizers: one interface over a scalar loss or a residual vector, for anything differentiable.

**Parameters.** `params` is a pytree of floating-point arrays only (`params, static =
physml.networks.partition(model)`; the model is `combine(params, static)`).

**Objective.** What is minimised. `batch` is a pytree of arrays with fixed shapes (or `None`).

- `Objective`: abstract `terms(params, batch) -> dict[str, scalar]`; `loss` is their sum.
- `LeastSquares(Objective)`: abstract `blocks(batch) -> dict[str, Block]`; then `residuals`,
  `terms`, `residual`, `jacobian` follow, with loss = Σ blocks Σᵢ rᵢ². Gauss–Newton needs this.
- `ScalarObjective(fn)`, `ResidualObjective(fn)`: from a function `(params, batch) -> dict`
  of scalars, or `(batch) -> dict` of blocks.

`blocks` is called while tracing, so it may build closures freely. The objective itself should be
made once: it is a module whose arrays are traced and whose other fields are compared.

**Block.** A part of the residual vector, its weight and 1/√N included. `residual(params) -> (n,)`,
`jacobian(params) -> ((n,), (n, P))`.

- `PointBlock(fn, points, scale=1.0, chunk=None)`: `fn(params, point) -> () or (k,)` at each
  point of a pytree with one leading axis; `scale` a number, (n,) or (n, k).
- `QuadratureBlock(fn, points, tests, scale=1.0, rows=None, size=None, chunk=None)`:
  r[e,t] = scale Σ_qk tests[e,t,q,k] fn(params, points[e,q])[k]; tests (E,T,Q,K) or (T,Q,K);
  `rows` (E,T) integers sums entries of one row, `size` their number, others are dropped.
- `VectorBlock(fn, data, scale=1.0, chunk=None)`: `fn(params, data) -> (n,)`, a dense Jacobian.

    class Fit(LeastSquares):
        static: Any
        def blocks(self, batch):
            x, y = batch
            def misfit(params, point):
                return combine(params, self.static)(point[0]) - point[1]
            return {"data": PointBlock(misfit, (x, y), scale=len(x) ** -0.5)}

**Optimizer.** Options only; without side effects; the heavy parts are compiled inside.

    state = optimizer.init(objective, params, batch)
    params, state, info = optimizer.step(objective, params, state, batch)
    state = optimizer.rebatch(objective, params, state, new_batch)   # before a step on new data

`Info` has loss, terms, after (whether the loss is of the returned parameters), gradient_norm,
accepted, step_size, damping, evaluations, linear_solver.

- `Adam(learning_rate=1e-3)` (number or optax schedule), `Optax(transformation)`.
- `SOAP(learning_rate=3e-3, frequency=10)`; `scale_by_soap` is the optax transformation alone.
- `LBFGS(memory=30)`; `SelfScaledBFGS()` and `SelfScaledBroyden()`, whose inverse Hessian is dense.
- `GaussNewton(damping=1e-3, factor=4.0, accept=0.075, probes=12, solver="auto", geodesic=True)`,
  needs float64.
- `EnergyNaturalGradient(damping=0.1, momentum=0.5)`: λ ∝ loss, SPRING momentum, a line search.
- `DSGNAR(size=800, oversampling=2.0)`: sketched Jacobian, largest admissible trust radius.
- `HessianFree(preconditioner="nystrom", rank=64)`: conjugate gradients, no matrix; any objective.
  `preconditioner="units"` for wide last layers, such as the coefficients of a series.
- `KFAC()`, `FOOF()`: Kronecker factors of each dense layer; `JetBlock(fn, points, static, order=2)`
  is a residual `fn(jet, x)` of an MLP's Taylor components, whose factors are those of its layers.

`automatic(objective, params, batch)` chooses one by parameters, residuals and device, and says why.

An optimizer whose matrix takes more than `memory` bytes raises in `init`, before it is allocated.

`physml.training.train` runs them in phases with budgets, resampling, logs and checkpoints.
"""

from ._automatic import automatic
from ._blocks import Block, PointBlock, Projection, QuadratureBlock, VectorBlock
from ._dsgnar import DSGNAR
from ._first_order import Adam, Optax
from ._gauss_newton import GaussNewton
from ._hessian_free import HessianFree
from ._jets import Jet, JetBlock
from ._kfac import FOOF, KFAC
from ._lbfgs import LBFGS
from ._natural_gradient import EnergyNaturalGradient
from ._objective import LeastSquares, Objective, ResidualObjective, ScalarObjective
from ._optimizer import Info, Optimizer
from ._self_scaled import SelfScaledBFGS, SelfScaledBroyden
from ._soap import SOAP, scale_by_soap

__all__ = [
    "DSGNAR",
    "FOOF",
    "KFAC",
    "LBFGS",
    "SOAP",
    "Adam",
    "Block",
    "EnergyNaturalGradient",
    "GaussNewton",
    "HessianFree",
    "Info",
    "Jet",
    "JetBlock",
    "LeastSquares",
    "Objective",
    "Optax",
    "Optimizer",
    "PointBlock",
    "Projection",
    "QuadratureBlock",
    "ResidualObjective",
    "ScalarObjective",
    "SelfScaledBFGS",
    "SelfScaledBroyden",
    "VectorBlock",
    "automatic",
    "scale_by_soap",
]
