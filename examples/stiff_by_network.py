"""A stiff equation by networks: the mean square of the residual, or its dual norm.

    python examples/stiff_by_network.py

Kuramoto–Sivashinsky on slabs of time, in each a Fourier series with coefficients by sines of time.
The fastest wave decays at a rate of 10⁴: an error of 10⁻⁷ in it is a residual of 10⁻³, which the
mean square can't tell from one that matters. `pm.SpectralPINN` divides each wave's residual by its
rate. Then the same method as it comes: it chooses the slabs and the waves by that residual.
"""

from functools import partial

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import physml as pm

HARMONICS, TIMES, SLABS = 32, 8, 5


def main() -> dict[str, float]:
    problem = pm.library.kuramoto_sivashinsky(length=20.0, end=0.5)
    numerical = pm.solve(problem, pm.Fourier(points=128, dt=1e-3, frames=6))
    network = partial(
        pm.FourierSeries,
        harmonics=HARMONICS,
        inner=partial(pm.OrthonormalSines, width=TIMES - 2),
    )
    newton = pm.GaussNewton(geodesic=False, damping=1e-9, factor=10.0, probes=3)
    plain = pm.PINN(network=network, optimizer=newton, points=900, resample=None)
    dual = pm.SpectralPINN(network=network, optimizer=newton, harmonics=HARMONICS, times=TIMES)

    x = jnp.linspace(0.0, 20.0, 200)[:, None]
    exact = numerical["u"](x, 0.5)
    errors = {}
    for label, method in (("mean square", plain), ("dual norm", dual)):
        slabs = pm.TimeSlabs(method, SLABS, warm=False)
        solution = pm.solve(problem, slabs, steps=4 * SLABS)
        found = solution["u"](x, 0.5)
        errors[label] = float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))
        seconds = solution.stats.run_seconds
        print(f"{label:12s} relative error {errors[label]:.1e} after {seconds:.1f} s of training")

    # As it comes, for the accuracy that is asked.
    solution = pm.solve(problem, pm.SpectralPINN(accuracy=1e-7))
    gap = float(jnp.linalg.norm(solution["u"](x, 0.5) - exact) / jnp.linalg.norm(exact))
    lengths = np.diff(solution.stats.extra["edges"])
    print(
        f"as it comes  relative error {gap:.1e} for 1e-7, by {len(lengths)} slabs of "
        f"{lengths.min():.2g} to {lengths.max():.2g}"
    )
    errors["as it comes"] = gap

    # What one slab says by itself, without the exact solution.
    one = pm.SpectralPINN(accuracy=None, harmonics=12, times=TIMES)
    first = pm.solve(problem, one, steps=6)
    gap = np.asarray(first["u"](x, 0.5)) - np.asarray(exact)
    extra = first.stats.extra
    estimate = float(np.hypot(extra["dual_norm"]["u"], extra["untested"]["u"]))
    true = float(np.sqrt(np.mean(gap**2)))
    print(f"one slab, 12 waves: it says {estimate:.1e} in the mean; true at the end {true:.1e}")
    return errors


if __name__ == "__main__":
    errors = main()
    assert errors["dual norm"] < 1e-9 and errors["as it comes"] < 1e-7
