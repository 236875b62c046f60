"""Distance functions: zero on their parts, positive inside, of slope one at the boundary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdes.domain import Ball, Box, Disk, Interval, LShape, MeshDomain, Rectangle
from tests.domain._shapes import CHANNEL, PLANAR

WITH_DISTANCE = {
    **{name: row[0] for name, row in PLANAR.items()},
    "interval": Interval(-1.0, 2.0),
    "box": Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)),
    "ball": Ball((1.0, 0.0, 0.0), 0.5),
}


@pytest.mark.parametrize("name", WITH_DISTANCE)
def test_zero_on_the_boundary_and_positive_inside(name):
    domain = WITH_DISTANCE[name]
    phi = jax.jit(jax.vmap(domain.distance()))
    boundary = domain.sample_boundary(300).points
    inside = domain.sample_interior(500)
    assert np.abs(phi(jnp.asarray(boundary))).max() < 1e-12
    assert phi(jnp.asarray(inside)).min() > 0


@pytest.mark.parametrize("name", WITH_DISTANCE)
def test_zero_on_one_part_only(name):
    domain = WITH_DISTANCE[name]
    if len(domain.boundary_names) < 2:
        pytest.skip("one part")
    for part in domain.boundary_names:
        phi = jax.jit(jax.vmap(domain.distance((part,))))
        own = domain.sample_boundary(50, part=part).points
        assert np.abs(phi(jnp.asarray(own))).max() < 1e-12
        for other in domain.boundary_names:
            if other == part:
                continue
            x = domain.sample_boundary(50, part=other, scheme="uniform").points
            assert phi(jnp.asarray(x)).min() > 0


@pytest.mark.parametrize("name", ["L", "channel", "moon", "disk", "triangle", "frame", "ball"])
def test_slope_one_at_the_boundary(name):
    domain = WITH_DISTANCE[name]
    sample = domain.sample_boundary(200)
    phi = domain.distance()
    # Just inside, and away from corners, where the slope can't be one.
    step = 1e-6
    x = sample.points - step * sample.normals
    slope = jax.jit(jax.vmap(jax.grad(phi)))(jnp.asarray(x))
    error = np.linalg.norm(slope + sample.normals, axis=1)
    assert np.median(error) < 1e-3
    assert np.mean(error < 1e-2) > 0.9


def test_slope_one_for_one_side_of_a_box():
    phi = Rectangle((0.0, 0.0), (2.0, 1.0)).distance(("left", "right"))
    x = jnp.array([0.3, 0.9])
    assert float(phi(x)) == pytest.approx(0.3 * 1.7 / 2, rel=1e-14)
    np.testing.assert_allclose(jax.jit(jax.grad(phi))(jnp.array([0.0, 0.5])), [1.0, 0.0])
    assert float(Interval(1.0, 3.0).distance(("left",))(jnp.array([1.25]))) == 0.25


def test_whole_box_is_a_polynomial():
    phi = Rectangle().distance()
    x = jnp.array([0.3, 0.6])
    expected = 4 * 0.3 * 0.7 * 0.6 * 0.4
    assert float(phi(x)) == pytest.approx(expected, rel=1e-14)
    laplacian = jnp.trace(jax.jit(jax.hessian(phi))(x))
    assert float(laplacian) == pytest.approx(-8 * (0.6 * 0.4 + 0.3 * 0.7), rel=1e-12)


def test_disk_is_a_polynomial_even_with_named_parts():
    named = Disk().name("left", lambda x: x[0] < 0)
    for domain in (Disk(), named):
        phi = domain.distance()
        assert float(phi(jnp.array([0.5, 0.0]))) == pytest.approx(0.375, rel=1e-14)
        bends = jax.jit(jax.hessian(phi))(jnp.array([0.0, 0.1]))
        assert float(jnp.trace(bends)) == pytest.approx(-2.0)


def test_derivatives_are_finite_everywhere():
    for domain in (LShape(), CHANNEL, Disk() - Disk((1.0, 0.0))):
        phi = domain.distance()
        corners = np.concatenate([c.point(np.array([0.0, 0.5, 1.0])) for c in domain.curves])
        x = jnp.asarray(np.concatenate([corners, domain.sample_interior(200)]))
        assert np.isfinite(jax.jit(jax.vmap(phi))(x)).all()
        assert np.isfinite(jax.jit(jax.vmap(jax.grad(phi)))(x)).all()
        inside = jnp.asarray(domain.sample_interior(200))
        assert np.isfinite(jax.jit(jax.vmap(jax.hessian(phi)))(inside)).all()


def test_single_precision(float32):
    phi = jax.jit(jax.vmap(jax.value_and_grad(CHANNEL.distance())))
    value, slope = phi(jnp.asarray(CHANNEL.sample_interior(200), jnp.float32))
    assert value.dtype == jnp.float32
    assert np.isfinite(value).all() and np.isfinite(slope).all() and (value > 0).all()


def test_pieces_of_a_side():
    domain = Rectangle().name("inlet", lambda x: x[0] < 1e-9 and x[1] > 0.5)
    phi = jax.jit(jax.vmap(domain.distance(("inlet",))))
    on = jnp.array([[0.0, 0.6], [0.0, 0.9]])
    off = jnp.array([[0.0, 0.3], [0.5, 0.0], [1.0, 0.7]])
    assert np.abs(phi(on)).max() < 1e-12
    assert phi(off).min() > 0.05


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Disk().distance(("rim",)), "no boundary 'rim'"),
        (lambda: Rectangle().distance(("lid",)), "no boundary 'lid'"),
        (lambda: MeshDomain(Box((0, 0, 0), (1, 1, 1)).mesh(cells=1)).distance(), "soft boundary"),
        (lambda: (Box((0, 0, 0), (1, 1, 1)) - Ball((1, 1, 1), 0.5)).distance(), "soft boundary"),
        (lambda: Ball().name("cap", lambda x: x[2] > 0).distance(("cap",)), "whole spheres"),
        (lambda: Rectangle().distance(()), "at least one part"),
    ],
)
def test_what_has_no_distance(make, words):
    with pytest.raises(ValueError, match=words):
        make()
