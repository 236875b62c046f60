"""Families that are ready to use, with the solver and the network that suit them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from pdes import Dirichlet, Interval, Point, Problem, Rectangle
from pdes.library import Heat, Poisson, burgers_periodic
from physml.operators import FNO, DeepONet
from physml.surrogates._distributions import GaussianField
from physml.surrogates._family import Family


@dataclasses.dataclass(frozen=True)
class Entry:
    """A family and how it is usually solved and learned.

    Attributes:
        family: makes it. method: the solver, or its short name on the command line. points: of the
            grid. times: of the outputs, None for the end. count: training samples.
        network: see `train_surrogate`. loss, training: of the training.
    """

    family: Callable[[], Family]
    method: Any
    points: int
    network: Any
    times: tuple[float, ...] | None = None
    count: int = 1000
    loss: str = "data"
    training: dict[str, Any] = dataclasses.field(default_factory=dict)


def burgers_family() -> Family:
    """∂u/∂t + ∂(½u²)/∂x = 0.1 ∂²u/∂x² on the periodic unit interval, u₀ ~ N(0, 625(−∇² + 25)⁻²).

    From the initial state to that at t = 1. Source: Li et al. (2021), section 5.1.
    """
    field = GaussianField(Interval(0.0, 1.0, periodic=True), amplitude=25.0, tau=5.0, power=2.0)
    return Family(lambda u0: burgers_periodic(initial=u0), {"u0": field}, name="burgers_periodic")


def darcy_family() -> Family:
    """−∇·(k ∇u) = 1 on the unit square, u = 0 on its boundary, log k ~ N(0, 16(−∇² + 9)⁻²).

    From the permeability k to u. The field is that of Li et al. (2021), section 5.2 (Neumann
    conditions), with a log-normal k in place of one that jumps.
    """
    domain = Rectangle()
    field = GaussianField(
        domain, amplitude=4.0, tau=3.0, power=2.0, boundary="neumann", transform=jnp.exp
    )

    def make(k: Any) -> Problem:
        return Problem(
            Poisson(k=k, f=1.0), domain, boundary={"all": Dirichlet(u=0.0)}, name="darcy"
        )

    return Family(make, {"k": field}, input=_permeability, name="darcy")


def _permeability(problem: Problem, p: Point) -> Array:
    assert isinstance(problem.pde, Poisson)
    return problem.pde.k(p)


def heat_family() -> Family:
    """∂u/∂t = 0.05 ∂²u/∂x² on the unit interval, u = 0 at both ends, t ∈ [0, 1].

    From the initial state, u₀ ~ N(0, 625(−∇² + 25)⁻²) of sines, to all times.
    """
    domain = Interval(0.0, 1.0)
    field = GaussianField(domain, amplitude=25.0, tau=5.0, power=2.0, modes=8)

    def make(u0: Any) -> Problem:
        return Problem(
            Heat(kappa=0.05),
            domain,
            time=(0.0, 1.0),
            initial={"u": u0},
            boundary={"all": Dirichlet(u=0.0)},
            name="heat",
        )

    return Family(make, {"u0": field}, name="heat")


FAMILIES: dict[str, Entry] = {
    "burgers_periodic": Entry(burgers_family, "fourier", 128, FNO),
    "darcy": Entry(darcy_family, "fem", 33, functools.partial(FNO, width=24, modes=8), count=300),
    "heat": Entry(
        heat_family,
        "chebyshev",
        33,
        DeepONet,
        times=(0.0, 0.25, 0.5, 0.75, 1.0),
        count=200,
        loss="residual",
        training={"epochs": 200, "count": 500},
    ),
}


def named(name: str) -> Entry:
    """A family of the library.

    Raises:
        ValueError: an unknown name; suggests close ones.
    """
    if name not in FAMILIES:
        close = difflib.get_close_matches(name, FAMILIES, n=2)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(
            f"no family {name!r}{hint} There are {', '.join(FAMILIES)}; a family of your own goes "
            "into a file my_problem.py as  family = pm.Family(…)"
        )
    return FAMILIES[name]
