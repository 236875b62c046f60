"""jinns' training of a problem in a budget, by an interpreter that has it.

    PYTHON -m benchmarks._jinns_training CASE OPTIMIZER SECONDS SEED FOLDER

reads FOLDER/points.npy, (n, 2) of x and y or t, and writes the values there at shares of the
budget. OPTIMIZER is "ngd", its natural gradient from the start, or "ssbroyden", Adam at 1e-3 for
an eighth of the time and then its self-scaled Broyden; both with their defaults, in float64.
Points are uniform, as many as in DeepXDE's examples, and all in each step.
"""

import os
import sys
from collections.abc import Callable
from importlib.metadata import version

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns
import numpy as np
import optax
from jax.experimental import io_callback
from jinns.solver._utils import GetJinnsVariableName
from jinns.validation import AbstractValidationModule

from benchmarks._snapshots import Snapshots

jax.config.update("jax_enable_x64", True)


class Poisson(jinns.loss.PDEStatio):
    """−∇²u = 2π² sin πx sin πy."""

    def equation(self, x, u, params):
        load = 2 * jnp.pi**2 * jnp.prod(jnp.sin(jnp.pi * x))
        return (-jinns.loss.laplacian_rev(x, u, params) - load)[None]


class AllenCahn(jinns.loss.PDENonStatio):
    """∂u/∂t = 1e-4 ∂²u/∂x² + 5u − 5u³."""

    def equation(self, t_x, u, params):
        value = u(t_x, params)
        u_t = jax.grad(lambda y: u(y, params)[0])(t_x)[0:1]
        u_xx = jinns.loss.laplacian_rev(t_x, u, params)[None]
        return u_t - 1e-4 * u_xx - 5 * (value - value**3)


class Periodic(jinns.loss.BoundaryConditionAbstract):
    """u and ∂u/∂x are the same at both ends."""

    def equation_u(self, inputs, u, params):
        slope = jax.grad(lambda y: u(y, params)[0])
        left, right = inputs[..., 0], inputs[..., 1]
        jump = u(left, params) - u(right, params)
        return (jump, slope(left)[1:2] - slope(right)[1:2])

    def equation_f(self, inputs, params, gridify=False):
        return (jnp.zeros(1), jnp.zeros(1))


def network(kind, key):
    layers = [(eqx.nn.Linear, 2, 20), (jnp.tanh,)]
    layers += 2 * [(eqx.nn.Linear, 20, 20), (jnp.tanh,)] + [(eqx.nn.Linear, 20, 1)]
    return jinns.nn.PINN_MLP.create(key=key, eqx_list=tuple(layers), eq_type=kind)


def poisson(key):
    u, start = network("PDEStatio", key)
    params = jinns.parameters.Params(nn_params=start, eq_params={})
    data = jinns.data.CubicMeshPDEStatio(
        key=key, n=1200, nb=120, dim=2, min_pts=(0.0, 0.0), max_pts=(1.0, 1.0)
    )
    loss = jinns.loss.LossPDEStatio(
        u=u, dynamic_loss=Poisson(), boundary_condition=jinns.loss.Dirichlet(), params=params,
        loss_weights=jinns.loss.LossWeightsPDEStatio(dyn_loss=1.0, boundary_loss=1.0),
    )  # fmt: skip
    return u, params, data, loss


def burgers(key):
    params = {"nu": jnp.array(0.01 / jnp.pi)}
    equation = jinns.loss.BurgersEquation()
    initial = lambda x: -jnp.sin(jnp.pi * x)
    return _in_time(key, params, equation, jinns.loss.Dirichlet(), initial, 2540, 80, 160)


def allen_cahn(key):
    initial = lambda x: x**2 * jnp.cos(jnp.pi * x)
    return _in_time(key, {}, AllenCahn(), Periodic(), initial, 8000, 400, 800)


def _in_time(key, coefficients, equation, boundary, initial, inside, around, first):
    u, start = network("PDENonStatio", key)
    params = jinns.parameters.Params(nn_params=start, eq_params=coefficients)
    data = jinns.data.CubicMeshPDENonStatio(
        key=key, n=inside, nb=around, ni=first, dim=1, min_pts=(-1.0,), max_pts=(1.0,),
        tmin=0.0, tmax=1.0,
    )  # fmt: skip
    loss = jinns.loss.LossPDENonStatio(
        u=u, dynamic_loss=equation, boundary_condition=boundary, initial_condition_fun=initial,
        params=params, loss_weights=jinns.loss.LossWeightsPDENonStatio(
            dyn_loss=1.0, boundary_loss=1.0, initial_condition=1.0
        ),
    )  # fmt: skip
    return u, params, data, loss


class Clock(AbstractValidationModule):
    """Ends `jinns.solve` at a share of the budget, and keeps states on the way."""

    tick: Callable = eqx.field(static=True, kw_only=True)
    call_every: int = eqx.field(static=True, kw_only=True)

    def __call__(self, params):
        leaves = jax.tree.leaves(params.nn_params)
        spent = io_callback(self.tick, jax.ShapeDtypeStruct((), bool), *leaves)
        return self, spent, jnp.array(0.0), False


def ticking(clock, share):
    """The first call starts the clock: what came before it is compilation."""

    def tick(*leaves):
        clock.start()
        done = clock.spent(lambda: [np.array(leaf) for leaf in leaves])
        return np.array(done or clock.seconds >= share * clock.budget)

    return tick


def callback_loss(params, loss, batch):
    return loss.evaluate(params, batch)[0]


def callback_gradient(params, loss, batch):
    return jax.grad(lambda p: loss.evaluate(p, batch)[0])(params)


def phase(clock, share, every, params, data, loss, optimizer, **options):
    found = jinns.solve(
        n_iter=1_000_000, init_params=params, data=data, loss=loss, optimizer=optimizer,
        validation=Clock(tick=ticking(clock, share), call_every=every), verbose=False, **options,
    )  # fmt: skip
    clock.stop()
    values = np.asarray(found[1])
    return found[0], int(np.count_nonzero(values))


def main():
    case, optimizer, seconds, seed, folder = sys.argv[1:6]
    problems = {"poisson": poisson, "burgers": burgers, "allen-cahn": allen_cahn}
    u, params, data, loss = problems[case](jax.random.PRNGKey(int(seed)))
    clock = Snapshots(float(seconds))
    if optimizer == "ngd":
        params, steps = phase(clock, 1.0, 1, params, data, loss, jinns.optimizers.vanilla_ngd())
        told = f"{steps} steps of natural gradient"
    else:
        params, adam = phase(clock, 1 / 8, 10, params, data, loss, optax.adam(1e-3))
        variable = GetJinnsVariableName
        params, steps = phase(
            clock, 1.0, 1, params, data, loss, jinns.optimizers.scale_by_SSBroyden_family(),
            extra_optax_args_and_kwargs={
                "value": variable("train_loss_value"), "grad_pt": variable("grads"),
                "value_fn": callback_loss, "grad_fn": callback_gradient,
                "loss": variable("loss"), "batch": variable("batch"),
            },
        )  # fmt: skip
        told = f"{adam} steps of Adam, {steps} of SSBroyden"
    clock.end([np.array(leaf) for leaf in jax.tree.leaves(params.nn_params)])
    points = np.load(os.path.join(folder, "points.npy"))
    # Its order is time, then space.
    points = jnp.asarray(points if case == "poisson" else points[:, ::-1])
    shape = jax.tree.structure(params.nn_params)

    def values(leaves):
        given = eqx.tree_at(lambda p: p.nn_params, params, jax.tree.unflatten(shape, leaves))
        return jax.vmap(lambda x: u(x, given)[0])(points)

    size = sum(leaf.size for leaf in jax.tree.leaves(params.nn_params))
    clock.write(folder, values, f"jinns {version('jinns')}|{size} parameters, {told}")


main()
