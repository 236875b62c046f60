"""FNO and DeepONet: exact identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from physml.operators._fno import SpectralConvolution
from physml.surrogates._interpolation import GridFunction

KEY = jax.random.key(0)


def spectral_formula(convolution, v, modes):
    """The convolution by full FFTs, in NumPy."""
    kernel = np.asarray(convolution.weight[0]) + 1j * np.asarray(convolution.weight[1])
    axes = tuple(range(len(modes)))
    hat = np.fft.fftn(np.asarray(v), axes=axes, norm="forward")
    if len(modes) == 1:
        out = np.zeros((v.shape[0], kernel.shape[-1]), complex)
        for k in range(modes[0]):
            out[k] = (2.0 if k else 1.0) * hat[k] @ kernel[k]
        return np.fft.ifft(out, axis=0, norm="forward").real
    m1, m2 = modes
    out = np.zeros((*v.shape[:2], kernel.shape[-1]), complex)
    for j in range(-m1 + 1, m1):
        for k in range(m2):
            out[j, k] = (2.0 if k else 1.0) * hat[j, k] @ kernel[j + m1 - 1, k]
    return np.fft.ifftn(out, axes=axes, norm="forward").real


@pytest.mark.parametrize(("modes", "grid"), [((4,), (9,)), ((4,), (16,)), ((3, 2), (8, 7))])
def test_spectral_convolution_is_the_formula(modes, grid):
    convolution = SpectralConvolution(3, 2, modes, key=KEY)
    v = jax.random.normal(jax.random.key(1), (*grid, 3))
    np.testing.assert_allclose(convolution(v), spectral_formula(convolution, v, modes), atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_spectral_convolution_is_the_same_function_on_every_grid(dim):
    convolution = SpectralConvolution(1, 1, (4,) * dim, key=KEY)

    def on(n):
        x = np.stack(np.meshgrid(*[np.arange(n) / n] * dim, indexing="ij"), -1)
        v = np.prod(np.sin(2 * np.pi * 3 * x) + 0.5, axis=-1) + np.cos(2 * np.pi * x[..., 0])
        return np.asarray(convolution(jnp.asarray(v)[..., None]))

    step = (slice(None, None, 2),) * dim
    np.testing.assert_allclose(on(32)[step], on(16), atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2])
def test_fno_commutes_with_translations(dim):
    fno = pm.FNO(2, 3, dim=dim, modes=4, width=6, depth=2, key=KEY)
    v = jax.random.normal(jax.random.key(2), (*(12,) * dim, 2))
    shifted = fno(jnp.roll(v, 5, axis=0))
    np.testing.assert_allclose(shifted, jnp.roll(fno(v), 5, axis=0), atol=1e-12)


def test_deeponet_is_its_formula_and_linear_in_the_branch():
    net = pm.DeepONet(5, 2, 3, basis=4, width=8, depth=2, key=KEY)
    v, y = jnp.arange(5.0), jnp.array([0.1, 0.2])
    b = net.branch(v).reshape(3, 4)
    np.testing.assert_allclose(net(v, y), b @ jnp.tanh(net.trunk(y)) + net.bias, rtol=1e-14)
    c = net.coefficients(v)
    np.testing.assert_allclose(net.at(2 * c, y) - net.bias, 2 * (net.at(c, y) - net.bias))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pm.FNO(dim=3, key=KEY), "1 or 2 dimensions"),
        (lambda: pm.FNO(modes=0, key=KEY), "modes"),
        (lambda: pm.FNO(padding=1.0, key=KEY), "padding"),
        (lambda: pm.FNO(modes=8, key=KEY)(jnp.zeros((10, 1))), "at least 16 points"),
        (lambda: pm.FNO(key=KEY)(jnp.zeros(64)), "takes samples of shape"),
        (lambda: pm.DeepONet(0, 1, key=KEY), "positive sensors"),
        (lambda: pm.DeepONet(4, 1, key=KEY)(jnp.zeros(5), jnp.zeros(1)), "same sensors"),
    ],
)
def test_nonsense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("n", [9, 10])
def test_interpolation_is_exact_for_waves_and_cubics(n):
    x, y = np.arange(n) / n, np.linspace(-1.0, 3.0, 7)
    f = lambda x, y: (1 + np.sin(2 * np.pi * 4 * x) - np.cos(2 * np.pi * x)) * (y**3 - 2 * y)
    samples = jnp.asarray(f(*np.meshgrid(x, y, indexing="ij")))[..., None]
    g = GridFunction(samples, (0.0, -1.0), (1.0, 3.0), (True, False))
    at = np.random.default_rng(0).random((20, 2)) * [1.0, 4.0] + [0.0, -1.0]
    np.testing.assert_allclose(jax.vmap(g)(jnp.asarray(at))[:, 0], f(*at.T), atol=1e-11)
    if n == 9:
        slope = jax.grad(lambda p: g(p)[0])(jnp.array([0.3, 0.5]))[1]
        np.testing.assert_allclose(slope, f(0.3, 0.5) / (0.125 - 1.0) * (0.75 - 2), rtol=1e-10)
