"""The short names of methods on the command line, in one place."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Entry:
    """A method by its public class in `physml`, made only when used.

    Attributes:
        public: the class's name. neural: whether it takes a budget. title: for `physml list`.
        options: given to the class; by the problem's dimension where a dictionary of them is.
        usual: whether a comparison takes it where no methods are named.
    """

    public: str
    neural: bool
    title: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    by_dim: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    usual: bool = True

    def make(self, dim: int) -> Any:
        """The method for a problem of a dimension.

        Raises:
            NotAvailable: this physml does not have it.
        """
        import physml

        try:
            kind = getattr(physml, self.public)
        except (AttributeError, ImportError) as error:
            raise NotAvailable(str(error)) from None
        return kind(**self.options, **self.by_dim.get(dim, {}))


class NotAvailable(ValueError):
    """A method that this installation lacks."""


METHODS: dict[str, Entry] = {
    "fem": Entry("FiniteElement", False, "finite elements", by_dim={1: {"cells": 2048}}),
    "dg": Entry(
        "DiscontinuousGalerkin",
        False,
        "discontinuous elements, for balance laws",
        by_dim={1: {"cells": 512}},
    ),
    "fv": Entry("FiniteVolume", False, "finite volumes, for balance laws"),
    "fourier": Entry("Fourier", False, "Fourier pseudo-spectral, for periodic domains"),
    "chebyshev": Entry("Chebyshev", False, "Chebyshev collocation, for boxes"),
    "ultraspherical": Entry(
        # In time it takes as many coefficients as are asked for, and fronts need to be known.
        "Ultraspherical",
        False,
        "sparse Chebyshev coefficients, in 1-D",
        usual=False,
    ),
    "rf": Entry("RandomFeatures", False, "random features, for affine problems"),
    "pinn": Entry("PINN", True, "physics-informed network: strong residual"),
    "cpinn": Entry("CPINN", True, "networks on subdomains, joined by fluxes"),
    "vpinn": Entry("VPINN", True, "variational network: weak residual"),
    # Each of these is one more answer of a kind that a comparison has: they are taken by name.
    "mesh-vpinn": Entry("MeshVPINN", True, "variational network on any mesh", usual=False),
    "robust-vpinn": Entry("RobustVPINN", True, "weak residual in its dual norm", usual=False),
    "ritz": Entry("DeepRitz", True, "deep Ritz: the energy minimised", usual=False),
    "xpinn": Entry("XPINN", True, "subdomains joined by residuals", usual=False),
    "spectral-pinn": Entry(
        "SpectralPINN", True, "residual by its waves, for periodic boxes", usual=False
    ),
    "fbpinn": Entry("FBPINN", True, "networks on overlapping windows", usual=False),
    "spinn": Entry("SPINN", True, "separable network on a grid, for boxes", usual=False),
}


def make_method(name: str, dim: int) -> Any:
    """The method of a short name.

    Raises:
        ValueError: an unknown name; suggests close ones.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=2)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"no method {name!r}{hint} The methods are {', '.join(METHODS)}")
    return METHODS[name].make(dim)


def names(text: str) -> list[str]:
    """The names in "fem,pinn".

    Raises:
        ValueError: none, or one twice.
    """
    found = [part.strip().lower() for part in text.split(",") if part.strip()]
    if not found:
        raise ValueError(f"--methods needs names such as fem,pinn, got {text!r}")
    if len(set(found)) != len(found):
        raise ValueError(f"--methods names a method twice: {text!r}")
    return found


def chosen(text: str | None, dim: int) -> dict[str, Any]:
    """The methods named, or all usual ones that this installation has, by short name."""
    if text is not None:
        return {name: make_method(name, dim) for name in names(text)}
    out = {}
    for name, entry in METHODS.items():
        if not entry.usual:
            continue
        try:
            out[name] = entry.make(dim)
        except NotAvailable:
            continue
    if not out:
        raise NotAvailable("this physml has no methods")
    return out
