"""The Taylor–Green vortex at Re 200: a smooth flow that breaks into small vortices and decays.

The rate at which energy is lost, ε = ν⟨|∇u|²⟩, rises more than threefold until t = 6 and is the
same on 64³ and 128³ points within 0.2 %: the flow is resolved (`docs/taylor_green.png`, four
minutes). Taylor and Green (1937); Brachet et al. (1983).
"""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
import numpy as np

import physml as pm

REYNOLDS = 200.0


def decay(points: int, end: float, dt: float, frames: int) -> tuple[np.ndarray, ...]:
    """Times, energy and dissipation."""
    problem = pm.library.taylor_green_3d(REYNOLDS, end)
    solution = pm.solve(problem, pm.Fourier(points=points, dt=dt, frames=frames))
    times = np.linspace(0.0, end, frames)
    energy = np.array([pm.energy(solution, "u", t) for t in times])
    loss = np.array([pm.dissipation(solution, "u", t) for t in times]) / REYNOLDS
    return times, energy, loss


def picture(runs: dict[int, tuple[np.ndarray, ...]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (points, (times, energy, loss)), style in zip(runs.items(), ("o", "-"), strict=True):
        left.plot(times, energy, style, ms=4, label=f"{points}³")
        right.plot(times, loss, style, ms=4, label=f"{points}³")
    left.set(xlabel="t", ylabel="energy ½⟨|u|²⟩")
    right.set(xlabel="t", ylabel="dissipation ν⟨|∇u|²⟩")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=100)


def main(
    points: tuple[int, int] = (64, 128),
    end: float = 10.0,
    dt: float = 0.05,
    frames: int = 21,
    path: Path | None = None,
) -> tuple[float, float]:
    """The largest difference of the dissipation relative to its peak, and that peak."""
    runs = {n: decay(n, end, dt, frames) for n in points}
    if path is not None:
        picture(runs, path)
    coarse, fine = (runs[n][2] for n in points)
    return float(np.abs(coarse - fine).max() / fine.max()), float(fine.max())


if __name__ == "__main__":
    difference, peak = main(path=Path("taylor_green.png"))
    print(f"dissipation at most {peak:.5f}; 64³ within {difference:.1e} of 128³")
    assert difference < 5e-3
