"""Families that the tests share."""

import physml as pm
from pdes.library import Heat, burgers_periodic

CIRCLE = pm.Interval(0.0, 1.0, periodic=True)
LINE = pm.Interval(0.0, 1.0)


def make_burgers(u0):
    return burgers_periodic(initial=u0)


def burgers_family(**options):
    return pm.Family(make_burgers, {"u0": pm.GaussianField(CIRCLE, modes=8, **options)})


def make_heat(u0):
    return pm.Problem(
        Heat(kappa=0.1),
        LINE,
        time=(0.0, 1.0),
        initial={"u": u0},
        boundary={"all": pm.Dirichlet(u=0.0)},
        name="tiny heat",
    )


def heat_family(modes=2):
    return pm.Family(
        make_heat, {"u0": pm.GaussianField(LINE, amplitude=20.0, modes=modes)}, name="tiny heat"
    )
