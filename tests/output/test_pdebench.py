"""Files in PDEBench's layouts as initial data and references."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm

N = 64
X = (np.arange(N) + 0.5) / N


def travelling(x, t):
    """Of ∂u/∂t + ∂u/∂x = 0."""
    return np.sin(2 * np.pi * (x - t)) + 0.3 * np.cos(4 * np.pi * (x - t))


@pytest.fixture
def advection(tmp_path):
    """One dimension: three samples; one more time than frames, as PDEBench's files have it."""
    path = tmp_path / "1D_Advection.hdf5"
    times = np.linspace(0.0, 0.5, 21)
    shifts = np.array([0.0, 0.25, 0.6])
    with h5py.File(path, "w") as file:
        file["tensor"] = travelling(X - shifts[:, None, None], times[:, None]).astype("f4")
        file["x-coordinate"], file["t-coordinate"] = X, np.append(times, 0.525)
    return path


def problem(data):
    initial = data.initial(1, {"u": "tensor"})
    return pm.Problem(
        pm.library.Advection(a=1.0),
        pm.Interval(0.0, 1.0, periodic=True),
        time=(0.0, 0.5),
        initial=initial,
    )


def test_one_dimension_is_solved_from_and_compared_with(advection):
    data = pm.read_pdebench(advection)
    assert (len(data), data.fields, data.dim, len(data.times)) == (3, ("tensor",), 1, 21)
    stated = problem(data)
    # Cell centres are nodes; between them and beyond the last one cubics, periodic.
    start = data.initial(1, {"u": "tensor"})["u"]
    np.testing.assert_allclose(
        jax.vmap(start)(jnp.asarray(X)[:, None]), travelling(X - 0.25, 0.0), atol=1e-6
    )
    assert float(start(jnp.array([1.0]))) == pytest.approx(travelling(0.75, 0.0), abs=2e-5)
    reference = data.reference(stated, 1, {"u": "tensor"})
    solution = pm.solve(stated, pm.Fourier(points=N, dt=0.01))
    x = jnp.linspace(0.0, 1.0, 41)[:, None]
    for t in (0.1, 0.5):
        np.testing.assert_allclose(reference["u"](x, t), travelling(x[:, 0] - 0.25, t), atol=5e-5)
        np.testing.assert_allclose(solution["u"](x, t), reference["u"](x, t), atol=1e-4)
    found = pm.compare(stated, [pm.Fourier(points=N, dt=0.01)], reference=reference, frames=3)
    assert found["Fourier"].median.l2 < 1e-4


def test_groups_and_components(tmp_path):
    """Two dimensions, a group for each sample; walls, where cubics continue a cubic exactly."""
    path = tmp_path / "2D_diff-react.h5"
    y = (np.arange(12) + 0.5) / 12 - 0.5
    field = y[:, None] ** 3 - 2 * y[None, :] ** 2 * y[:, None]
    with h5py.File(path, "w") as file:
        for k in range(2):
            group = file.create_group(f"{k:04d}")
            group["data"] = np.stack([(k + 1) * field, -field], -1)[None].repeat(3, 0)
            group["grid/x"], group["grid/y"], group["grid/t"] = y, y, [0.0, 0.5, 1.0]
    data = pm.read_pdebench(path)
    assert (len(data), data.fields, data.dim) == (2, ("data0", "data1"), 2)
    both = data.initial(1, {"w": ("data0", "data1")}, periodic=False)["w"]
    corner = jnp.array([0.5, -0.5])
    np.testing.assert_allclose(both(corner), np.array([2.0, -1.0]) * (0.125 - 0.25), atol=1e-12)
    gradient = jax.jacfwd(both)(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(gradient[0], [2 * (0.03 - 0.08), 2 * (-0.08)], atol=1e-12)


def test_several_fields_and_coefficients(tmp_path):
    path = tmp_path / "2D_DarcyFlow.hdf5"
    with h5py.File(path, "w") as file:
        file["nu"], file["tensor"] = np.ones((4, 8, 8)), np.zeros((4, 1, 8, 8))
        file["x-coordinate"] = file["y-coordinate"] = (np.arange(8) + 0.5) / 8
    data = pm.read_pdebench(path)
    assert data.fields == ("tensor",) and data.coefficients == ("nu",)
    assert data.values(3, "nu").shape == (8, 8) and data.values(0, "tensor").shape == (1, 8, 8)
    with pytest.raises(IndexError, match=r"sample 4 of 2D_DarcyFlow\.hdf5, which has 4"):
        data.values(4, "nu")
    with pytest.raises(KeyError, match="no field 'k'"):
        data.values(0, "k")


def test_what_is_no_such_file(tmp_path, advection):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"no layout of PDEBench.*has \['a'\]"):
        pm.read_pdebench(other)
    with h5py.File(other, "a") as file:
        file["x-coordinate"] = X
    with pytest.raises(ValueError, match=r"no data set of shape \(samples, frames, 64\)"):
        pm.read_pdebench(other)
    with pytest.raises(FileNotFoundError):
        pm.read_pdebench(tmp_path / "none.h5")
    data = pm.read_pdebench(advection)
    with pytest.raises(ValueError, match=r"give one for each field"):
        data.reference(problem(data), 0, {"v": "tensor"})
