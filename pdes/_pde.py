"""PDE: named fields and one equation a field, checked for shape before anything is solved."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pdes._arrays import on_device
from pdes._dependence import Dependence, term_dependence
from pdes._equation import Balance, Constraint, Definition, Equation, NoStorage, term_name
from pdes._fields import FieldKind
from pdes._point import RESERVED, Point


class PDE(eqx.Module):
    """A system of balance laws, definitions and constraints, written pointwise.

    Subclasses give `fields`, a class attribute from names to kinds (`Scalar()`, `Vector()`,
    `Components(n)`), coefficients as annotated attributes made by `coefficient(default)`, and
    `equations()`, one equation for each field. A PDE whose fields depend on its options may
    override nothing but give `fields` as an instance attribute (static).
    """

    fields: ClassVar[dict[str, FieldKind]]

    @abc.abstractmethod
    def equations(self) -> dict[str, Equation]:
        """The equation of each field."""

    # What finite volumes may be told of a hyperbolic system. Points have values, no gradients, and
    # n is a unit vector; slots are the components of all fields in their order.

    def wave_speeds(self, p: Point, n: Array) -> Array | None:
        """Speeds of the waves along n, (waves,), the slowest and the fastest among them.

        None: the eigenvalues of the flux Jacobian are taken, by automatic differentiation.
        """
        return None

    def star_states(
        self, left: Point, right: Point, n: Array, slowest: Array, fastest: Array
    ) -> tuple[Array, dict[str, Array], dict[str, Array]] | None:
        """Speed of the contact between two states along n, and the states on both sides of it.

        What the HLLC flux needs; None where the system has no such wave.
        """
        return None

    def characteristics(self, p: Point, n: Array) -> tuple[Array, Array] | None:
        """Left and right eigenvectors (L, R) of the flux Jacobian along n, (slots, slots) each.

        Rows of L and columns of R, with L R = I: limiters then act on waves, not on slots.
        """
        return None

    def admissible(self, p: Point) -> dict[str, Array]:
        """Quantities that must stay positive, such as density and pressure.

        Each is concave in the fields where those before it are positive.
        """
        return {}

    def forms(self, dim: int) -> dict[str, Form]:
        """The equations made ready for a domain of dimension `dim`, in the order of the fields."""
        equations = self.equations()
        _check_names(self, equations)
        shapes = field_shapes(self, dim)
        return {name: Form(name, equations[name], shapes, dim) for name in self.fields}


def field_shapes(pde: PDE, dim: int) -> dict[str, tuple[int, ...]]:
    """Shape of each field's value."""
    return {name: kind.shape(dim) for name, kind in pde.fields.items()}


def sample_point(
    shapes: dict[str, tuple[int, ...]], dim: int, *, normal: bool = False, mesh: bool = True
) -> Point:
    """A point of ones, for tracing shapes and dependences."""
    dtype = jnp.result_type(float)
    index = on_device(np.zeros((), int)) if mesh else None

    def ones(*shape: int) -> Array:
        return on_device(np.ones(shape, dtype))

    return Point(
        x=ones(dim),
        t=ones(),
        values={name: ones(*shape) for name, shape in shapes.items()},
        gradients={name: ones(*shape, dim) for name, shape in shapes.items()},
        n=ones(dim) if normal else None,
        region=index,
        cell=index,
    )


class Form:
    """One equation bound to its field, shape and dimension: what discretisations evaluate.

    Attributes:
        name: the field's name. kind: "Balance", "Definition" or "Constraint".
        shape: the field's shape. dim: the domain's dimension. equation: the Equation.
    """

    def __init__(self, name: str, equation: Equation, shapes: dict[str, tuple[int, ...]], dim: int):
        self.name = name
        self.equation = equation
        self.kind = equation.kind
        self.shapes = shapes
        self.shape = shapes[name]
        self.dim = dim
        self._dependence: dict[tuple[str, str], Dependence] = {}

    @property
    def flux_names(self) -> tuple[str, ...]:
        return tuple(term_name(term) for term in self.equation.flux)

    @property
    def source_names(self) -> tuple[str, ...]:
        return tuple(term_name(term) for term in self.equation.source)

    def flux(self, p: Point, terms: tuple[str, ...] | None = None) -> Array:
        """ΣF at a point, shape (*shape, dim); only the named `terms` when given."""
        return self._sum(self.equation.flux, p, (*self.shape, self.dim), terms)

    def source(self, p: Point, terms: tuple[str, ...] | None = None) -> Array:
        """Σs at a point, of the field's shape; only the named `terms` when given."""
        return self._sum(self.equation.source, p, self.shape, terms)

    def _sum(self, terms, p, shape, names) -> Array:
        total = jnp.zeros(shape, p.x.dtype)
        for term in terms:
            if names is None or term_name(term) in names:
                total = total + jnp.asarray(term(p))
        return total

    @property
    def has_storage(self) -> bool:
        """Whether ∂ₜm(u) is present (in a problem that depends on time)."""
        return isinstance(self.equation, Balance) and self.equation.storage is not NoStorage

    @property
    def has_inertia(self) -> bool:
        return isinstance(self.equation, Balance) and self.equation.inertia is not None

    def storage(self, p: Point) -> Array:
        """m(u), of the field's shape; the field itself by default."""
        assert self.has_storage
        storage = self.equation.storage  # type: ignore[attr-defined]
        if storage is None:
            return p.values[self.name]
        return jnp.broadcast_to(jnp.asarray(storage(p)), self.shape)

    def inertia(self, p: Point) -> Array:
        """ρ, shape () or one that multiplies the field."""
        assert self.has_inertia
        return jnp.asarray(self.equation.inertia(p))  # type: ignore[attr-defined]

    def dependence(self, term: Callable[[Point], Any]) -> Dependence:
        """How a term of this equation depends on fields, position and time."""
        key = (term_name(term), str(id(getattr(term, "__func__", term))))
        if key not in self._dependence:
            self._dependence[key] = term_dependence(term, sample_point(self.shapes, self.dim))
        return self._dependence[key]

    @property
    def is_affine(self) -> bool:
        """Every term (storage included) is affine in the fields."""
        return all(self.dependence(term).affine for term in self.all_terms())

    @property
    def is_constant(self) -> bool:
        """Every term is affine in the fields, with constant coefficients."""
        return all(self.dependence(term).constant for term in self.all_terms())

    def all_terms(self) -> tuple[Callable, ...]:
        terms = (*self.equation.flux, *self.equation.source)
        if isinstance(self.equation, Balance):
            if callable(self.equation.storage):
                terms = (*terms, self.equation.storage)
            if self.equation.inertia is not None:
                terms = (*terms, self._momentum)
        return terms

    def _momentum(self, p: Point) -> Array:
        return self.inertia(p) * p.values[self.name]

    def check_shapes(self) -> None:
        """Evaluates every term abstractly.

        Raises:
            ValueError: names the equation, the term, the shape that came and the one expected.
        """
        point = sample_point(self.shapes, self.dim)
        flux = (*self.shape, self.dim)
        for term in self.equation.flux:
            _check_shape(term, point, flux, f"flux of {self.name!r}")
        for term in self.equation.source:
            _check_shape(term, point, self.shape, f"source of {self.name!r}")
        if isinstance(self.equation, Balance):
            if callable(self.equation.storage):
                _check_shape(self.equation.storage, point, self.shape, f"storage of {self.name!r}")
            if self.equation.inertia is not None:
                _check_shape(self._momentum, point, self.shape, f"inertia of {self.name!r}")


def _check_shape(term: Callable, point: Point, expected: tuple[int, ...], what: str) -> None:
    name = term_name(term)
    try:
        out = jax.eval_shape(lambda p: jnp.asarray(term(p)), point)
    except Exception as error:
        raise ValueError(
            f"the term {name!r} ({what}) failed at a sample point: {type(error).__name__}: {error}"
        ) from error
    if out.shape != expected:
        raise ValueError(
            f"the term {name!r} ({what}) has shape {out.shape}, expected {expected}. "
            "A scalar's flux has shape (dim,), its source (); a vector's flux (dim, dim) "
            "as [component, direction], its source (dim,)."
        )
    if jnp.issubdtype(out.dtype, jnp.complexfloating):
        raise ValueError(
            f"the term {name!r} ({what}) is complex; "
            "write real and imaginary parts as Components(2)"
        )


def _check_names(pde: PDE, equations: Any) -> None:
    label = type(pde).__name__
    fields = getattr(pde, "fields", None)
    if not isinstance(fields, dict) or not fields:
        raise ValueError(f"{label} needs fields, for example fields = {{'u': pm.Scalar()}}")
    for name, kind in fields.items():
        if name in RESERVED or name.startswith("_") or not name.isidentifier():
            raise ValueError(
                f"{label} can't call a field {name!r}: choose an identifier other than {RESERVED}"
            )
        if not isinstance(kind, FieldKind):
            raise TypeError(
                f"{label}: field {name!r} is {kind!r}, expected pm.Scalar(), pm.Vector() "
                "or pm.Components(n)"
            )
    if not isinstance(equations, dict) or set(equations) != set(fields):
        got = sorted(equations) if isinstance(equations, dict) else type(equations).__name__
        raise ValueError(
            f"{label}.equations() must give one equation for each of {sorted(fields)}, got {got}"
        )
    for name, equation in equations.items():
        if not isinstance(equation, (Balance, Definition, Constraint)):
            raise TypeError(
                f"{label}: the equation of {name!r} is {type(equation).__name__}, expected "
                "pm.Balance, pm.Definition or pm.Constraint"
            )
