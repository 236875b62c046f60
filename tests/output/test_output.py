"""Pictures and files of solutions: what is drawn, what is written, what is read back."""

import json

import h5py
import jax
import jax.numpy as jnp
import meshio
import numpy as np
import pytest
from jaxtyping import Array

import physml as pm
from pdes.library import burgers, heat, kovasznay, poisson, poisson_disk
from solvers import KnownTimes, Solution, Stats
from solvers.output import evaluate, lattice, sample
from solvers.output._interpolate import continued
from tests.compare._stand_ins import Oracle


def solved(problem: pm.Problem) -> Solution:
    return pm.solve(problem, Oracle(0.0))


class AtTheEnd(KnownTimes):
    """The exact solution, known at the start and at the end only."""

    problem: pm.Problem

    def values(self, x: Array, t: Array) -> dict[str, Array]:
        known = (t == 0.0) | (t == 1.0)
        value = self.problem.exact_value("u", x, t)
        return {"u": jnp.where(known, value, jnp.nan)}

    def frames(self):
        return self.known_times()

    def known_times(self):
        return jnp.array([0.0, 1.0])


def test_lattice_counts_each_point_of_a_torus_once():
    domain = pm.Interval(0.0, 1.0, periodic=True)
    np.testing.assert_allclose(lattice(domain, 8, ends=False).axes[0], np.arange(8) / 8)
    assert lattice(domain, 8).axes[0][-1] == 1.0


def test_lattice_keeps_to_the_domain():
    problem = poisson_disk()
    points = lattice(problem.domain, 2000).points
    assert np.all(np.sum(points**2, axis=1) <= 1 + 1e-8)
    # Area over spacing squared.
    assert len(points) == pytest.approx(2000, rel=0.1)


def test_evaluation_in_pieces_equals_evaluation_at_once(monkeypatch):
    from solvers.output import _sample

    solution = solved(heat())
    points, times = np.linspace(0, 1, 23)[:, None], np.array([0.0, 0.5])
    whole = evaluate(solution.representation, points, times)["u"]
    monkeypatch.setattr(_sample, "_CHUNK", 5)
    np.testing.assert_array_equal(evaluate(solution.representation, points, times)["u"], whole)


def test_saved_and_loaded(tmp_path):
    solution = solved(heat())
    loaded = pm.load(solution.save(tmp_path / "heat.h5"))
    assert loaded.interpolation_error["u"] < 1e-6
    x = np.random.default_rng(0).random((50, 1))
    t = np.random.default_rng(1).random(50)
    difference = np.abs(np.asarray(loaded["u"](x, t)) - np.asarray(solution["u"](x, t)))
    assert difference.max() <= 2 * loaded.interpolation_error["u"]
    assert loaded.problem.name == "heat" and loaded.method == "oracle"
    assert loaded.stats.unknowns == 7 and loaded.stats.notes == ("exact",)
    gradient = jax.grad(lambda y: loaded["u"](y, 0.25)[()])(jnp.array([0.2]))
    exact = jax.grad(lambda y: solution["u"](y, 0.25))(jnp.array([0.2]))
    np.testing.assert_allclose(gradient, exact, rtol=1e-3)
    with pytest.raises(KeyError, match=r"no field 'v'; this solution has \['u'\]"):
        loaded["v"]


def test_interpolation_is_of_fourth_order(tmp_path):
    solution = solved(heat())
    errors = []
    for count, frames in ((17, 17), (33, 33), (65, 65)):
        path = solution.save(tmp_path / "heat.h5", count=count, frames=frames)
        errors.append(pm.load(path).interpolation_error["u"])
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert np.all(rates > 3.5), (errors, rates)


def test_nothing_is_answered_outside(tmp_path):
    loaded = pm.load(solved(heat()).save(tmp_path / "heat.h5"))
    assert np.isnan(loaded["u"](1.5, 0.5)) and np.isnan(loaded["u"](0.5, 2.0))
    assert np.isfinite(loaded["u"](1.0, 1.0))


def test_disk_and_vector_fields_are_read_back(tmp_path):
    disk = pm.load(solved(poisson_disk()).save(tmp_path / "disk.h5"))
    # 1 − r² is a polynomial of degree 2: cubic interpolation and continuation are exact.
    assert disk.interpolation_error["u"] < 1e-12
    edge = np.array([[np.cos(0.3), np.sin(0.3)]])
    np.testing.assert_allclose(disk["u"](edge), [0.0], atol=1e-12)
    assert np.isnan(disk["u"](np.array([[0.99, 0.99]]))).all()
    flow = solved(kovasznay())
    loaded = pm.load(flow.save(tmp_path / "flow.h5"))
    x = np.array([[0.3, 0.4]])
    assert loaded["u"](x).shape == (1, 2)
    np.testing.assert_allclose(loaded["u"](x), flow["u"](x), atol=1e-5)
    np.testing.assert_allclose(loaded["p"](x), flow["p"](x), atol=1e-5)


def test_continuation_is_exact_for_cubics():
    x, y = np.meshgrid(np.arange(9.0), np.arange(9.0), indexing="ij")
    values = (x**3 - 2 * x * y + y**2)[None]
    cut = np.where((x + y <= 11)[None], values, np.nan)
    grown = continued(cut, 2, layers=2)
    new = np.isnan(cut) & ~np.isnan(grown)
    assert new.sum() >= 8
    np.testing.assert_allclose(grown[new], values[new], atol=1e-9)


def test_known_times_are_not_interpolated(tmp_path):
    problem = heat()
    solution = Solution(problem, AtTheEnd(problem), Oracle(0.0), Stats())
    loaded = pm.load(solution.save(tmp_path / "ends.h5"))
    exact = problem.exact_value("u", jnp.array([0.3]), 1.0)
    assert loaded["u"](0.3, 1.0) == pytest.approx(float(exact), rel=1e-5)
    assert np.isnan(loaded["u"](0.3, 0.5))
    rows = pm.compare(problem, [Known(0.0)], resolution=51, frames=3)
    assert list(rows["oracle"].median.sample.times) == [0.0, 1.0]
    assert rows["oracle"].median.l2 < 1e-12
    assert rows.plot("errors").get_axes()


class Known(Oracle):
    def solve(self, problem, run=None):
        return Solution(problem, AtTheEnd(problem), self, Stats())


def test_vtu_has_the_values_at_the_mesh(tmp_path):
    solution = solved(poisson())
    path = solution.save(tmp_path / "square.vtu", cells=8)
    mesh = meshio.read(path)
    assert mesh.cells[0].type == "quad" and len(mesh.cells[0].data) == 64
    exact = np.prod(np.sin(np.pi * mesh.points[:, :2]), axis=1)
    np.testing.assert_allclose(mesh.point_data["u"], exact, atol=1e-12)
    # Corners in VTK's order go round the cell: the shoelace area is that of a cell.
    x, y = (mesh.points[mesh.cells[0].data][..., i] for i in (0, 1))
    area = 0.5 * np.sum(x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1), axis=1)
    np.testing.assert_allclose(area, 1 / 64, rtol=1e-12)


def test_vtu_series_names_its_frames(tmp_path):
    path = solved(heat()).save(tmp_path / "heat.vtu", frames=3, cells=10)
    assert path.name == "heat.pvd"
    text = path.read_text()
    for i, t in enumerate((0, 0.5, 1)):
        assert f'timestep="{t}" part="0" file="heat_{i:04d}.vtu"' in text
        values = meshio.read(tmp_path / f"heat_{i:04d}.vtu").point_data["u"]
        assert values[5] == pytest.approx(np.exp(-0.25 * np.pi**2 * t), rel=1e-12)


def test_xdmf_series(tmp_path):
    path = solved(kovasznay()).save(tmp_path / "flow.xdmf", cells=4)
    with meshio.xdmf.TimeSeriesReader(path) as reader:
        points, cells = reader.read_points_cells()
        t, data, _ = reader.read_data(0)
    assert t == 0.0 and data["u"].shape == (len(points), 3) and cells[0].type == "quad"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flow.xdmf", "flow_xdmf.h5"]


def test_netcdf(tmp_path):
    xarray = pytest.importorskip("xarray")
    path = solved(heat()).save(tmp_path / "heat.nc", count=11, frames=3)
    with xarray.open_dataset(path) as data:
        assert data["u"].dims == ("t", "x") and data.attrs["problem"] == "heat"
        value = float(data["u"].sel(t=0.5, x=0.5, method="nearest"))
    assert value == pytest.approx(np.exp(-0.125 * np.pi**2), rel=1e-10)


def test_units_of_coordinates_and_fields(tmp_path):
    xarray = pytest.importorskip("xarray")
    units = {"x": "m", "t": "s", "u": "K"}
    path = solved(heat()).save(tmp_path / "heat.nc", count=11, frames=3, units=units)
    with xarray.open_dataset(path) as data:
        assert {name: data[name].attrs["units"] for name in units} == units
        assert data["t"].dtype == float
    path = solved(heat()).save(tmp_path / "heat.h5", count=11, frames=3, units=units)
    with h5py.File(path) as file:
        found = [file[place].attrs["units"] for place in ("axes/0", "times", "values/u")]
    assert found == ["m", "s", "K"]
    assert pm.load(path)["u"](0.5, 0.0) == pytest.approx(1.0, abs=1e-3)
    # One length for all directions of space.
    path = solved(kovasznay()).save(tmp_path / "flow.nc", count=9, units={"x": "m"})
    with xarray.open_dataset(path) as data:
        assert data["y"].attrs["units"] == "m" and "units" not in data["u"].attrs
    with pytest.raises(ValueError, match="units of 'w': there are x, y, t, u, p"):
        solved(kovasznay()).save(tmp_path / "flow.nc", units={"w": "m"})
    with pytest.raises(ValueError, match=r"units go into .h5 and .nc"):
        solved(kovasznay()).save(tmp_path / "flow.vtu", units={"x": "m"})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        pm.load(tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError, match=r"is a folder: .*pm\.Comparison\.load"):
        pm.load(tmp_path)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ValueError, match="not an HDF5 file, or a damaged one"):
        pm.load(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not a solution that physml saved"):
        pm.load(tmp_path / "other.h5")
    path = solved(heat()).save(tmp_path / "heat.h5", count=17, frames=5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        pm.load(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        description = json.loads(file.attrs["description"])
        file.attrs["description"] = json.dumps({**description, "version": 2})
    with pytest.raises(ValueError, match="version 2 of the format, this physml reads 1"):
        pm.load(path)


def test_suffixes_and_places(tmp_path):
    solution = solved(heat())
    with pytest.raises(ValueError, match=r"the suffix is one of .h5, .vtu, .pvd, .xdmf, .nc"):
        solution.save(tmp_path / "heat.mat")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't be written"):
        solution.save(tmp_path / "file" / "heat.h5")


def test_picture_of_one_dimension_and_time():
    figure = solved(burgers()).plot()
    space_time, slices = figure.get_axes()[:2]
    assert (space_time.get_xlabel(), space_time.get_ylabel()) == ("t", "x")
    assert space_time.get_xlim() == (0.0, 1.0)
    assert len(slices.get_lines()) == 5
    (curve,) = solved(heat()).plot(t=0.5).get_axes()[0].get_lines()
    assert curve.get_ydata().max() == pytest.approx(np.exp(-0.125 * np.pi**2), rel=1e-5)


def test_picture_of_the_plane_and_of_components(tmp_path):
    figure = solved(kovasznay()).plot("u")
    labels = [ax.get_ylabel() for ax in figure.get_axes()]
    assert "u₀" in labels and "u₁" in labels
    solved(poisson_disk()).plot().savefig(tmp_path / "disk.png")
    assert (tmp_path / "disk.png").stat().st_size > 5000


def test_picture_of_what_there_is_not():
    with pytest.raises(ValueError, match=r"no field 'v'; the fields are \['u'\]"):
        solved(heat()).plot("v")
    with pytest.raises(ValueError, match=r"t = 3 lies outside the time interval \[0, 1\]"):
        solved(heat()).plot(t=3.0)
    with pytest.raises(ValueError, match="is steady: leave t out"):
        solved(poisson()).plot(t=1.0)


def test_film(tmp_path):
    from PIL import Image

    with Image.open(solved(heat()).animate(tmp_path / "heat.gif", frames=3)) as film:
        assert film.n_frames == 3
    with pytest.raises(pm.NotApplicable, match="is steady: there is nothing to animate"):
        solved(poisson()).animate(tmp_path / "steady.gif")
    with pytest.raises(ValueError, match=r"a film is .gif or .mp4"):
        solved(heat()).animate(tmp_path / "heat.avi")


def test_loaded_solutions_are_drawn(tmp_path):
    loaded = pm.load(solved(poisson_disk()).save(tmp_path / "disk.h5", count=400))
    assert loaded.plot().get_axes()
    taken = sample(loaded, 100)
    assert taken.values["u"].shape[1] == len(taken.lattice.points)
