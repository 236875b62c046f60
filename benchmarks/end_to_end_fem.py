"""Finite elements: errors, rates, symmetry, agreement with a peer, gradients."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

import pdes
from benchmarks._table import Checks, Row, missing, row
from pdes import library
from solvers.fem import FiniteElement
from solvers.fem._functionals import quadrature


def l2_error(solution, field: str = "u") -> float:
    """Relative L2 norm of the error by quadrature on the mesh."""
    problem = solution.problem
    x, w, _, _ = quadrature(solution.representation.space.mesh, 8)
    w = jnp.asarray(w)

    @jax.jit
    def values(points):
        exact = jax.vmap(lambda y: problem.exact_value(field, y))(points)
        found = jax.vmap(lambda y: solution[field](y))(points)
        return (found - exact).reshape(len(points), -1), exact.reshape(len(points), -1)

    difference, exact = values(jnp.asarray(x))
    return float(jnp.sqrt((w @ jnp.sum(difference**2, 1)) / (w @ jnp.sum(exact**2, 1))))


def burgers() -> Iterator[Row]:
    """Relative L2 on a lattice of x ∈ [−1, 1] and t ∈ [0, 1]."""
    problem = library.burgers()
    x, t = jnp.linspace(-1, 1, 2001)[:, None], jnp.linspace(0, 1, 101)
    exact = jax.jit(jax.vmap(lambda s: jax.vmap(lambda y: problem.exact_value("u", y, s))(x)))(t)
    for method in (
        FiniteElement(),
        FiniteElement(degree=4, cells=512, scheme="esdirk5", rtol=1e-8, atol=1e-9),
    ):
        solution = method.solve(problem)
        found = solution["u"](x[None], t[:, None])
        error = jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact)
        stats = solution.stats
        yield row(
            f"Burgers ν=0.01/π, {method.name}, {stats.unknowns} unknowns: relative L2",
            float(error),
            1e-5,
            note=f"{stats.iterations} steps, compile {stats.compile_seconds:.1f} s, "
            f"run {stats.run_seconds:.1f} s",
        )


def poisson_rates() -> Iterator[Row]:
    domain = pdes.Rectangle()

    def exact(x, t=0.0):
        return jnp.sin(jnp.pi * x[0]) * jnp.sin(jnp.pi * x[1])

    problem = pdes.Problem(
        library.Poisson(f=lambda p: 2 * jnp.pi**2 * exact(p.x)),
        domain,
        boundary={"all": pdes.Dirichlet(u=0.0)},
        exact={"u": exact},
    )
    for shape, letter in (("triangle", "P"), ("quadrilateral", "Q")):
        for degree in (1, 2):
            errors = [
                l2_error(FiniteElement(degree=degree, cells=n, cell_shape=shape).solve(problem))
                for n in (16, 32)
            ]
            yield row(
                f"Poisson sin πx sin πy, {letter}{degree}: slope of L2",
                float(np.log2(errors[0] / errors[1])),
                within=(degree + 0.9, degree + 1.1),
                note=f"errors {errors[0]:.3g}, {errors[1]:.3g}",
            )


def stokes() -> Iterator[Row]:
    problem = library.stokes()
    solutions = [FiniteElement(degree=2, cells=n).solve(problem) for n in (12, 24)]
    for field, target in (("u", 2.85), ("p", 1.85)):
        errors = [l2_error(solution, field) for solution in solutions]
        yield row(
            f"Stokes, Taylor–Hood: slope of L2, {field}",
            float(np.log2(errors[0] / errors[1])),
            target,
            at_least=True,
            note=f"errors {errors[0]:.3g}, {errors[1]:.3g}",
        )
    matrix = FiniteElement(degree=2, cells=12).discretize(problem).matrix()
    asymmetry = abs(matrix - matrix.T).max() / abs(matrix).max()
    yield row("Stokes, Taylor–Hood: max |K − Kᵀ| / max |K|", asymmetry, 1e-14)


def stiffness() -> Iterator[Row]:
    try:
        import skfem
        from skfem.models.elasticity import linear_elasticity
        from skfem.models.poisson import laplace
    except ImportError:
        yield missing("stiffness matrices", "scikit-fem", "not installed: pip install scikit-fem")
        return
    peer = f"scikit-fem {skfem.__version__}"
    domain = pdes.Rectangle()
    boundary = {"all": pdes.Dirichlet(u=0.0)}
    lam, mu = 10 * 0.3 / (1.3 * 0.4), 10 / 2.6
    cases = (
        ("Poisson", library.Poisson(), laplace, False),
        (
            "elasticity",
            library.Elasticity(young=10.0, poisson=0.3),
            linear_elasticity(lam, mu),
            True,
        ),
    )
    for n in (12,):
        mesh = domain.mesh(n)
        for label, pde, form, vector in cases:
            scalar = skfem.ElementTriP1()
            element = skfem.ElementVector(scalar) if vector else scalar
            basis = skfem.Basis(skfem.MeshTri(mesh.points.T, mesh.cells.T), element, intorder=3)
            theirs = form.assemble(basis)
            method = FiniteElement(degree=1, mesh=mesh)
            ours = method.discretize(pdes.Problem(pde, domain, boundary=boundary)).matrix()
            yield row(
                f"{label} P1 stiffness: max ΔK / max K",
                abs(ours - theirs).max() / abs(theirs).max(),
                1e-13,
                peer=peer,
            )


def assembly_speed() -> Iterator[Row]:
    """Reassembly of a P1 stiffness, pattern kept; printed for curiosity."""
    try:
        import skfem
        from skfem.models.poisson import laplace
    except ImportError:
        yield missing("assembly", "scikit-fem", "not installed: pip install scikit-fem")
        return
    from solvers.fem._system import _linearized

    domain = pdes.Rectangle()
    mesh = domain.mesh(200)
    problem = pdes.Problem(library.Poisson(), domain, boundary={"all": pdes.Dirichlet(u=0.0)})
    system = FiniteElement(degree=1, mesh=mesh, quadrature_degree=1).discretize(problem)
    z, t = jnp.zeros(system.size), jnp.zeros(())
    ours = best(lambda: jax.block_until_ready(_linearized(system, z, t)))
    basis = skfem.Basis(skfem.MeshTri(mesh.points.T, mesh.cells.T), skfem.ElementTriP1())
    theirs = best(lambda: laplace.assemble(basis))
    yield row(
        "Poisson P1, 80k triangles: reassembly, ours / peer",
        ours / theirs,
        peer=f"scikit-fem {skfem.__version__}",
        note=f"{ours * 1e3:.1f} ms against {theirs * 1e3:.1f} ms",
    )


def best(function, count: int = 5) -> float:
    function()
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def gradients() -> Iterator[Row]:
    """Burgers in time, fixed steps: relative difference from central differences, best step."""

    def probe(nu=0.05, amplitude=1.0, g=0.1, load=0.2):
        class Driven(library.Burgers):
            def equations(self):
                flux = (self.convection, self.diffusion)
                return {"u": pdes.Balance(flux=flux, source=(self.drive,))}

            def drive(self, p):
                return load * jnp.cos(p.x[0])

        problem = pdes.Problem(
            Driven(nu=nu),
            pdes.Interval(-1.0, 1.0),
            time=(0.0, 0.3),
            initial={"u": lambda x: g - amplitude * jnp.sin(jnp.pi * x[0])},
            boundary={"all": pdes.Dirichlet(u=lambda x, t: g * (1 + t))},
        )
        method = FiniteElement(degree=2, cells=16, dt=0.1, newton_tolerance=1e-13)
        return method.solve(problem)["u"](jnp.array([0.31]), 0.3)

    for label, name, at in (
        ("ν", "nu", 0.05),
        ("source", "load", 0.2),
        ("initial data", "amplitude", 1.0),
        ("boundary data", "g", 0.1),
    ):
        function = jax.jit(lambda s, name=name: probe(**{name: s}))
        exact = float(jax.grad(function)(jnp.asarray(at)))
        differences = []
        for h in (1e-2, 3e-3, 1e-3, 3e-4, 1e-4):
            f = [float(function(jnp.asarray(at * (1 + k * h)))) for k in (-2, -1, 1, 2)]
            differences.append((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h * at))
        error = min(abs(d - exact) for d in differences) / abs(exact)
        yield row(f"gradient through FEM in {label}: against differences", error, 1e-6)


CHECKS: Checks = {
    "fem burgers": burgers,
    "fem poisson": poisson_rates,
    "fem stokes": stokes,
    "fem stiffness": stiffness,
    "fem gradients": gradients,
    "fem assembly speed": assembly_speed,
}
