"""DeepXDE's training step for Burgers' equation, run by an interpreter that has it.

    PYTHON benchmarks/_deepxde_peer.py POINTS WIDTH DEPTH

It answers each line on its input by a line with the seconds of one step, of the wall and of the
processor. The step is the gradient of the mean square of the residual and Adam's update.
"""

import os
import sys
import time

os.environ["DDE_BACKEND"] = "jax"

import deepxde as dde
import jax
import numpy as np


def main():
    points, width, depth = (int(value) for value in sys.argv[1:4])
    dde.config.set_random_seed(0)
    interval = dde.geometry.GeometryXTime(
        dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1)
    )

    def residual(x, u):
        u_x, _ = dde.grad.jacobian(u, x, i=0, j=0)
        u_t, _ = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx, _ = dde.grad.hessian(u, x, i=0, j=0)
        value = u[0] if isinstance(u, tuple) else u
        return u_t + value * u_x - 0.01 / np.pi * u_xx

    data = dde.data.TimePDE(interval, residual, [], num_domain=points)
    network = dde.nn.FNN([2] + [width] * depth + [1], "tanh", "Glorot normal")
    model = dde.Model(data, network)
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=1, display_every=10, verbose=0)
    batch = model.data.train_next_batch()
    inputs = batch[0]

    def step():
        model._train_step(inputs, batch[1], None)
        jax.block_until_ready(model.params)

    step()
    kind = str(jax.tree.leaves(model.params)[0].dtype)
    print(f"{dde.__version__} {kind} {model.data.train_x.shape[0]}", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        step()
        print(time.perf_counter() - wall, time.process_time() - processor, flush=True)


main()
