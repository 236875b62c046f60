"""A problem refuses what it cannot mean, and says what, where and the remedy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdes
import physml as pm
from pdes import Balance, Constraint, Definition, Dirichlet, Interval, Rectangle
from pdes.library import Burgers, Heat, NavierStokes, Poisson, Stokes


def problem(**changes):
    arguments = {
        "pde": Burgers(),
        "domain": Interval(-1.0, 1.0),
        "time": (0.0, 1.0),
        "initial": {"u": lambda x: -jnp.sin(jnp.pi * x[0])},
        "boundary": {"all": Dirichlet(u=0.0)},
    }
    return pdes.Problem(**{**arguments, **changes})


class WrongFlux(Burgers):
    def equations(self):
        return {"u": Balance(flux=(self.scalar_flux,))}

    def scalar_flux(self, p):
        return p.u**2


class WrongSource(Burgers):
    def equations(self):
        return {"u": Balance(source=(self.vector_source,))}

    def vector_source(self, p):
        return p.grad.u


class Failing(Burgers):
    def equations(self):
        return {"u": Balance(source=(self.misspelt,))}

    def misspelt(self, p):
        return p.velocity


class NoEquation(Burgers):
    def equations(self):
        return {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pde": WrongFlux()}, r"'scalar_flux' \(flux of 'u'\) has shape \(\), expected \(1,\)"),
        ({"pde": WrongSource()}, r"'vector_source' \(source of 'u'\) has shape \(1,\), expected"),
        ({"pde": Failing()}, r"'misspelt'.*no field 'velocity'; its fields are \['u'\]"),
        ({"pde": NoEquation()}, r"must give one equation for each of \['u'\], got \[\]"),
        ({"boundary": {"lid": Dirichlet(u=0.0)}}, r"no boundary 'lid'; this domain has \['left'"),
        ({"boundary": {"left": Dirichlet(u=0.0)}}, r"no condition for field 'u' on .*'right'"),
        ({"boundary": {"all": Dirichlet(v=0.0)}}, r"field 'v': no such field"),
        ({"boundary": {"all": Dirichlet(u=(0.0, 1.0))}}, r"shape \(2,\), expected \(\)"),
        ({"boundary": {"all": Dirichlet(u=np.nan)}}, r"must be finite"),
        (
            {"boundary": {"all": Dirichlet(u=lambda x, t: jnp.log(-1.0 - t))}},
            r"Dirichlet on 'left', field 'u': not finite at x = ",
        ),
        ({"boundary": {"all": Dirichlet(u=lambda x: 0.0)}}, r"failed when called as f\(x, t\)"),
        (
            {"boundary": {"all": [Dirichlet(u=0.0), pdes.Neumann(u=0.0)]}},
            r"Dirichlet and Neumann on 'left' both prescribe field 'u'",
        ),
        (
            {"boundary": {"all": pdes.Neumann(terms=("heat",), u=0.0)}},
            r"no flux term 'heat'; the terms are \['convection', 'diffusion'\]",
        ),
        ({"initial": {}}, r"initial is missing for field 'u'"),
        ({"initial": {"u": lambda x: x}}, r"returned shape \(1,\), expected \(\) .*use x\[0\]"),
        ({"initial": {"u": lambda x: jnp.sqrt(x[0])}}, r"initial\['u'\]: not finite at x = "),
        ({"initial": {"u": 0.0, "v": 0.0}}, r"initial: no field 'v'"),
        ({"initial_rate": {"u": 0.0}}, r"initial_rate: field 'u' takes no such data"),
        ({"time": (1.0, 0.0)}, r"a finite start before the end, got \(1.0, 0.0\)"),
        ({"time": 1.0}, r"time is \(start, end\) or None"),
        ({"gauge": {"p": pdes.ZeroMean()}}, r"gauge: no field 'p'"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        problem(**changes)


def test_class_in_place_of_instance():
    with pytest.raises(TypeError, match=r"call the class: Burgers\(\)"):
        problem(pde=Burgers)


@pytest.mark.parametrize("value", ["0.1", None, np.inf])
def test_coefficient_must_be_a_finite_value(value):
    with pytest.raises((TypeError, ValueError)):
        Burgers(nu=value)


def test_pure_neumann_needs_a_gauge():
    arguments = {"boundary": {"all": pdes.Neumann(u=0.0)}}
    with pytest.raises(ValueError, match=r"'u' is fixed only up to a constant.*ZeroMean"):
        pdes.Problem(Poisson(), Rectangle(), **arguments)
    pdes.Problem(Poisson(), Rectangle(), gauge={"u": pdes.ZeroMean()}, **arguments)
    pdes.Problem(Poisson(), Rectangle(), gauge={"u": pdes.Pin((0.0, 0.0), u=0.0)}, **arguments)
    # In time, and with heat transfer at the boundary, there is no null space.
    pdes.Problem(Heat(), Rectangle(), time=(0, 1), initial={"u": 0.0}, **arguments)
    pdes.Problem(Poisson(), Rectangle(), boundary={"all": pdes.Robin(u=lambda p: p.u)})


@pytest.mark.parametrize("pde", [Stokes(), NavierStokes()])
def test_enclosed_flow_needs_a_pressure_gauge(pde):
    with pytest.raises(ValueError, match=r"'p' is fixed only up to a constant"):
        pdes.Problem(pde, Rectangle(), boundary={"all": Dirichlet(u=0.0)})
    with pytest.raises(ValueError, match=r"'p' is fixed only up to a constant"):
        pdes.Problem(pde, Rectangle(), boundary={"all": pdes.Slip("u"), "left": Dirichlet(u=0.0)})
    pdes.Problem(pde, Rectangle(), boundary={"all": Dirichlet(u=0.0), "right": pdes.Outflow()})


def test_periodic_poisson_needs_a_gauge():
    with pytest.raises(ValueError, match="only up to a constant"):
        pdes.Problem(Poisson(), Rectangle(periodic=True))


def test_specific_name_overrides_all():
    made = problem(boundary={"left": Dirichlet(u=2.0), "all": Dirichlet(u=1.0)})
    x, t = jnp.zeros(1), jnp.zeros(())
    assert made.conditions["left"]["u"].value(x, t) == 2.0
    assert made.conditions["right"]["u"].value(x, t) == 1.0


def test_order_of_parts_survives_transformations():
    """At a shared corner the later entry wins, under jit too, where dictionaries are sorted."""
    order = ["top", "left", "bottom", "right"]
    made = problem(
        pde=Poisson(),
        domain=Rectangle(),
        time=None,
        initial=None,
        boundary={part: Dirichlet(u=float(i)) for i, part in enumerate(order)},
    )
    seen = []

    @eqx.filter_jit
    def trace(p):
        seen.append(list(p.conditions))
        return p.conditions["right"]["u"].value(jnp.zeros(2), jnp.zeros(()))

    assert trace(made) == 3.0
    assert seen == [order]
    assert list(jax.tree.map(lambda leaf: leaf, made).conditions) == order


def test_named_part_replaces_its_side():
    domain = Rectangle().name("lid", lambda x: x[1] > 0.999)
    assert domain.boundary_names == ("left", "right", "bottom", "lid")
    half = Rectangle().name("inlet", lambda x: x[0] < 1e-9 and x[1] < 0.5)
    assert half.boundary_names == ("left", "right", "bottom", "top", "inlet")
    sample = half.sample_boundary(64, part="inlet")
    assert (sample.points[:, 1] < 0.5).all() and (sample.points[:, 0] == 0).all()
    np.testing.assert_allclose(sample.weights.sum(), 0.5, rtol=0.02)


def test_natural_conditions_prescribe_what_they_say():
    """F·n from Neumann, partial Neumann, Robin, Outflow, Traction and Free at one point."""
    x, t, n = jnp.array([1.0]), jnp.zeros(()), jnp.array([1.0])
    point = pdes.Point(x, t, {"u": jnp.array(3.0)}, {"u": jnp.array([2.0])}, n)

    def flux(condition):
        made = problem(pde=Burgers(nu=0.5), boundary={"all": condition})
        return float(made.conditions["right"]["u"].natural(made.forms()["u"], point))

    assert flux(pdes.Neumann(u=7.0)) == 7.0
    assert flux(pdes.Neumann(terms=("diffusion",), u=7.0)) == 7.0 + 4.5
    assert flux(pdes.Robin(u=lambda p: 2 * p.u * p.n[0])) == 6.0
    assert flux(pdes.Outflow()) == 4.5
    assert flux(pdes.Traction(u=7.0)) == -7.0
    assert flux(pdes.Free("u")) == 4.5 - 1.0


def test_by_region_is_bound_to_the_mesh_names():
    table = pdes.ByRegion({"steel": 210.0, "air": 1.0})
    bound = table.bind(("air", "steel"))
    point = pdes.Point(jnp.zeros(2), jnp.zeros(()), {}, region=jnp.array([0, 1]))
    np.testing.assert_array_equal(bound(point), [1.0, 210.0])
    with pytest.raises(ValueError, match=r"no value for the material 'wood'"):
        table.bind(("air", "wood"))
    with pytest.raises(ValueError, match="needs a domain with named materials"):
        pdes.Problem(Poisson(k=table), Rectangle(), boundary={"all": Dirichlet(u=0.0)})


def test_field_names_are_checked():
    class Bad(pdes.PDE):
        fields = {"x": pdes.Scalar()}

        def equations(self):
            return {"x": Balance()}

    with pytest.raises(ValueError, match="can't call a field 'x'"):
        pdes.Problem(Bad(), Interval(0, 1), time=(0, 1), initial={"x": 0.0})


class TwoFields(pdes.PDE):
    """A constraint and a definition together, for checks of kinds."""

    fields = {"u": pdes.Vector(), "p": pdes.Scalar(), "w": pdes.Scalar()}

    def equations(self):
        return {
            "u": Balance(flux=(self.stress,)),
            "p": Constraint(flux=(self.velocity,)),
            "w": Definition(source=(self.vorticity,)),
        }

    def stress(self, p):
        return p.p * jnp.eye(2) - p.grad.u

    def velocity(self, p):
        return p.u

    def vorticity(self, p):
        return p.grad.u[1, 0] - p.grad.u[0, 1]


def test_definition_is_substituted():
    made = pdes.Problem(
        TwoFields(),
        Rectangle(),
        boundary={"all": Dirichlet(u=0.0)},
        gauge={"p": pdes.ZeroMean()},
    )

    def fields(x, t):
        return {"u": jnp.stack([-x[1], x[0]]), "p": x[0]}

    residual = made.residual(fields, jnp.array([0.3, 0.4]))
    assert set(residual) == {"u", "p"}
    np.testing.assert_allclose(residual["u"], [1.0, 0.0])
    np.testing.assert_allclose(residual["p"], 0.0)


def test_constraint_takes_no_flux_condition():
    with pytest.raises(ValueError, match="a constraint takes no flux condition"):
        pdes.Problem(
            Stokes(),
            Rectangle(),
            boundary={"all": [Dirichlet(u=0.0), pdes.Neumann(p=0.0)]},
        )


def _start(x):
    return jnp.sin(jnp.pi * x[0])


class TestReplace:
    """A copy with other arguments is the problem that the constructor makes of them."""

    def heat(self, kappa=1.0, **changes):
        given = {
            "time": (0.0, 1.0),
            "initial": {"u": _start},
            "boundary": {"all": pm.Dirichlet(u=0.0)},
            "exact": {"u": lambda x, t: jnp.exp(-t)},
        }
        return pm.Problem(pm.library.Heat(kappa=kappa), pm.Interval(0.0, 1.0), **given | changes)

    @pytest.mark.parametrize(
        "changes",
        [
            {"time": (0.5, 2.0)},
            {"initial": {"u": 3.0}},
            {"boundary": {"left": pm.Dirichlet(u=1.0), "right": pm.Neumann(u=2.0)}},
            {"name": "other", "exact": {"u": 0.5}},
        ],
        ids=str,
    )
    def test_as_made_anew(self, changes):
        old, made = self.heat(), self.heat().replace(**changes)
        expected = self.heat(**changes)
        assert (made.time, made.name) == (expected.time, expected.name)
        x = jnp.array([0.3])
        assert made.initial_value("u", x) == expected.initial_value("u", x)
        assert list(made.conditions) == list(expected.conditions)
        for part, by_field in expected.conditions.items():
            for name, condition in by_field.items():
                found = made.conditions[part][name]
                assert found.kinds == condition.kinds
                np.testing.assert_array_equal(found.value(x, 0.0), condition.value(x, 0.0))
        # The old one is as it was.
        assert old.time == (0.0, 1.0) and old.initial_value("u", x) == _start(x)

    def test_a_known_solution_is_of_the_old_equations_and_data(self):
        x = jnp.array([0.3])
        assert self.heat().replace(time=(0.0, 2.0)).exact_value("u", x, 1.0) == jnp.exp(-1.0)
        for changes in (
            {"pde": pm.library.Heat(kappa=2.0)},
            {"initial": {"u": 1.0}},
            {"time": (0.5, 2.0)},
            {"time": None},
        ):
            made = self.heat().replace(**changes)
            assert made.exact == {}
        made = self.heat().replace(initial={"u": 1.0}, exact={"u": 1.0})
        assert made.exact_value("u", x) == 1.0
        steady = pm.library.poisson()
        assert steady.replace(name="other").exact == steady.exact != {}

    def test_a_solution_follows(self):
        times = self.heat(0.1).replace(time=(0.0, 0.3), pde=pm.library.Heat(kappa=0.05))
        solution = pm.solve(times, pm.Chebyshev(points=16))
        exact = np.exp(-0.05 * np.pi**2 * 0.3) * np.sin(np.pi * 0.3)
        assert float(solution["u"](jnp.array([[0.3]]), 0.3)[0]) == pytest.approx(exact, rel=1e-5)

    def test_steady_drops_the_start(self):
        made = self.heat().replace(time=None)
        assert made.steady and made.initial == {} and made.evolving == ()
        with pytest.raises(ValueError, match="initial is missing"):
            made.replace(time=(0.0, 1.0))

    def test_pins_of_conditions_and_of_gauges_apart(self):
        problem = pm.Problem(
            pm.library.Poisson(f=0.0),
            pm.Interval(0.0, 1.0),
            boundary={"all": pm.Neumann(u=0.0)},
            gauge={"u": pm.Pin([0.5], u=2.0)},
        )
        kept = problem.replace(boundary={"left": pm.Neumann(u=1.0), "right": pm.Neumann(u=-1.0)})
        assert [pin[:2] for pin in kept.pins] == [("u", (0.5,))]
        mean = problem.replace(gauge={"u": pm.ZeroMean()})
        assert mean.pins == () and mean.zero_mean == {"u": 0.0}
        with pytest.raises(ValueError, match="fixed only up to a constant"):
            problem.replace(gauge=None)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"domain": pm.Interval(0.0, 2.0)}, "make a new Problem"),
            ({"conditions": {}}, "no argument 'conditions'; it takes pde, time"),
            ({"time": (1.0, 0.0)}, "start before the end"),
            ({"initial": {"v": 0.0}}, "no field 'v'"),
            ({"initial": {"u": float("nan")}}, "finite"),
            ({"boundary": {"top": pm.Dirichlet(u=0.0)}}, "no boundary 'top'"),
            ({"pde": pm.library.NavierStokes(nu=1.0)}, "give boundary= as well"),
        ],
        ids=str,
    )
    def test_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            self.heat().replace(**changes)
