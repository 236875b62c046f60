"""DeepXDE's training of a problem in a budget, by an interpreter that has it and PyTorch.

    PYTHON -m benchmarks._deepxde_training CASE PRECISION CONDITIONS SECONDS SEED FOLDER

reads FOLDER/points.npy, (n, 2) of x and y or t, and writes the values there at shares of the
budget. Networks, points, weights and optimizers are those of DeepXDE's examples Poisson_Lshape,
Burgers and Allen_Cahn: Adam at 1e-3 for their number of iterations or half of the time, then
L-BFGS, started again where it stops before the time is spent.
"""

import os
import sys

os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import numpy as np
import torch

from benchmarks._snapshots import Snapshots

PI = np.pi


def poisson():
    """−∇²u = 2π² sin πx sin πy on the unit square, u = 0."""

    def residual(x, u):
        load = 2 * PI**2 * torch.sin(PI * x[:, 0:1]) * torch.sin(PI * x[:, 1:2])
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        return -u_xx - dde.grad.hessian(u, x, i=1, j=1) - load

    square = dde.geometry.Rectangle([0, 0], [1, 1])
    network = dde.nn.FNN([2] + [50] * 4 + [1], "tanh", "Glorot uniform")
    edge = dde.icbc.DirichletBC(square, lambda x: 0, lambda _, on: on)
    data = dde.data.PDE(square, residual, edge, num_domain=1200, num_boundary=120)
    return data, network, 50_000


def burgers():
    """∂u/∂t + u ∂u/∂x = 0.01/π ∂²u/∂x² from −sin πx, u = 0 at both ends."""

    def residual(x, u):
        u_x = dde.grad.jacobian(u, x, i=0, j=0)
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t + u * u_x - 0.01 / PI * dde.grad.hessian(u, x, i=0, j=0)

    domain = _in_time(-1, 1)
    ends = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on: on)
    start = dde.icbc.IC(domain, lambda x: -np.sin(PI * x[:, 0:1]), lambda _, on: on)
    network = dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")
    data = dde.data.TimePDE(
        domain, residual, [ends, start], num_domain=2540, num_boundary=80, num_initial=160
    )
    return data, network, 15_000


def allen_cahn(exact):
    """∂u/∂t = 1e-4 ∂²u/∂x² + 5u − 5u³ from x² cos πx, periodic.

    The initial values are built in, as in the example. It has u = −1 at both ends built in as well
    ("exact"), which the periodic solution is not quite: else ("soft") u and its derivative are
    periodic by residuals.
    """

    def residual(x, u):
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t - 1e-4 * dde.grad.hessian(u, x, i=0, j=0) - 5 * (u - u**3)

    domain = _in_time(-1, 1)
    network = dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")
    edge = lambda x: 1 - x[:, 0:1] ** 2 if exact else 1.0
    network.apply_output_transform(
        lambda x, u: x[:, 0:1] ** 2 * torch.cos(PI * x[:, 0:1]) + x[:, 1:2] * edge(x) * u
    )
    ends = [
        dde.icbc.PeriodicBC(domain, 0, lambda _, on: on, derivative_order=order) for order in (0, 1)
    ]
    data = dde.data.TimePDE(
        domain, residual, [] if exact else ends,
        num_domain=8000, num_boundary=400, num_initial=800,
    )  # fmt: skip
    return data, network, 40_000


def _in_time(low, high):
    return dde.geometry.GeometryXTime(
        dde.geometry.Interval(low, high), dde.geometry.TimeDomain(0, 1)
    )


class Limit(dde.callbacks.Callback):
    """Ends a phase at a share of the budget."""

    def __init__(self, clock, share, state):
        super().__init__()
        self.clock, self.share, self.state = clock, share, state

    def on_batch_end(self):
        self.clock.spent(self.state)
        if self.clock.seconds >= self.share * self.clock.budget:
            self.model.stop_training = True


def main():
    case, precision, conditions, seconds, seed, folder = sys.argv[1:7]
    torch.set_num_threads(1)
    dde.config.set_default_float(precision)
    dde.config.set_random_seed(int(seed))
    problems = {
        ("poisson", "soft"): poisson,
        ("burgers", "soft"): burgers,
        ("allen-cahn", "soft"): lambda: allen_cahn(exact=False),
        ("allen-cahn", "exact"): lambda: allen_cahn(exact=True),
    }
    data, network, iterations = problems[case, conditions]()
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=1, verbose=0)
    clock = Snapshots(float(seconds))

    def state():
        return {key: value.clone() for key, value in network.state_dict().items()}

    clock.start()
    # Its display costs an evaluation of the loss: once a thousand, as by default.
    model.train(
        iterations=iterations, display_every=1000, verbose=0, callbacks=[Limit(clock, 0.5, state)]
    )
    adam = model.train_state.iteration
    # The bound of steps is lifted, time is the one that counts, which is looked at every so many.
    dde.optimizers.set_LBFGS_options(maxiter=10**9)
    dde.optimizers.LBFGS_options.update(iter_per_step=20, fun_per_step=25)
    runs, moved = 0, True
    while clock.seconds < clock.budget and moved:
        before, runs = state(), runs + 1
        model.compile("L-BFGS", verbose=0)
        model.train(verbose=0, display_every=10**9, callbacks=[Limit(clock, 1.0, state)])
        # Where not even one step is found, a new start finds none either.
        after = state()
        moved = any(bool((before[key] != after[key]).any()) for key in before)
    clock.end(state())
    points = np.load(os.path.join(folder, "points.npy"))

    def values(parameters):
        network.load_state_dict(parameters)
        return model.predict(points)

    size = sum(parameter.numel() for parameter in network.parameters())
    steps = model.train_state.iteration - adam
    clock.write(
        folder, values,
        f"DeepXDE {dde.__version__}|{size} parameters, {adam} steps of Adam, {steps} of L-BFGS in "
        f"{runs} start(s)",
    )  # fmt: skip


main()
