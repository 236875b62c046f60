"""Comparisons: isolation, skipping, the reference's floor, seeds, resuming, round trips."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest

import physml as pm
from pdes.library import heat, poisson
from physml.compare._memory import PeakMemory
from physml.compare._store import problem_fingerprint
from physml.compare._yardstick import distance
from tests.compare._stand_ins import Failing, Halving, Oracle, Periodic


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """Every kind of row, once."""
    methods = [
        Oracle(1e-3, "coarse"),
        Failing(0.0, "broken"),
        Oracle(1e-5, "fine"),
        Periodic(0.0, "periodic"),
        Halving(0.0, "network"),
    ]
    out = tmp_path_factory.mktemp("compare")
    return pm.compare(heat(), methods, seeds=(0, 1), out=out, resolution=101, frames=5), out


def test_relative_errors_are_those_of_the_methods(comparison):
    rows, _ = comparison
    assert rows["coarse"].median.l2 == pytest.approx(1e-3, rel=1e-10)
    assert rows["fine"].median.l2 == pytest.approx(1e-5, rel=1e-8)
    # max |u| = 1 at the start, x = ½, which is a point of the lattice.
    assert rows["coarse"].median.errors["u"].max == pytest.approx(1e-3, rel=1e-10)


def test_a_failing_method_is_a_row_and_the_others_go_on(comparison):
    rows, _ = comparison
    broken = rows["broken"]
    assert broken.status == "failed" and broken.median is None
    assert broken.message == (
        "SolverError: [newton_diverged] residual 1e9 after 50 steps; refine the mesh"
    )
    assert [row.status for row in rows.rows] == ["solved", "failed", "solved", "skipped", "solved"]
    assert broken.message in str(rows)


def test_a_method_that_does_not_apply_is_skipped_with_the_reason(comparison):
    rows, _ = comparison
    assert rows["periodic"].message == "the domain is not periodic; use FEM"
    assert "periodic: the domain is not periodic; use FEM" in str(rows)
    assert "skipped: the domain is not periodic; use FEM" in rows.table("markdown")


def test_neural_methods_run_once_a_seed_with_a_curve(comparison):
    rows, _ = comparison
    trials = rows["network"].trials
    assert [trial.seed for trial in trials] == [0, 1]
    assert len(rows["coarse"].trials) == 1
    errors = [error for _, error in trials[0].curve]
    assert errors == pytest.approx([0.5 ** (k + 1) for k in range(6)])
    # Of two the worse is shown: the median never flatters.
    assert rows["network"].median.l2 == pytest.approx(0.5**6)


def test_keyboard_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        pm.compare(heat(), [Failing(0.0, "stop", KeyboardInterrupt)], resolution=21, frames=2)


def test_values_that_are_not_finite_are_a_failure():
    rows = pm.compare(heat(), [Oracle(np.nan, "nan"), Oracle(0.0)], resolution=21, frames=2)
    assert rows["nan"].status == "failed"
    assert "[not_finite] the field 'u'" in rows["nan"].message
    assert rows["oracle"].status == "solved"


def test_no_method_is_credited_below_the_reference():
    reference = Oracle(1e-4, "reference")
    methods = [Oracle(1e-8, "better"), Oracle(1e-2, "worse"), reference]
    rows = pm.compare(heat(), methods, reference, resolution=101, frames=5)
    floor = rows.yardstick.floor["u"].l2
    # The half-resolved oracle errs by 4e-4: their distance is 3e-4.
    assert floor == pytest.approx(3e-4 / (1 + 1e-4), rel=1e-6)
    text = rows.table("plain")
    line = next(line for line in text.splitlines() if line.startswith("better"))
    assert "< 3.0e-04" in line and "1.00e-08" not in text
    assert "9.90e-03" in next(line for line in text.splitlines() if line.startswith("worse"))
    assert "reference (reference)" in text
    assert "estimated error of the reference, relative L2: 3.0e-04" in text


def test_the_first_numerical_method_is_the_reference_where_none_is_known():
    problem = pm.Problem(
        heat().pde,
        pm.Interval(0.0, 1.0),
        time=(0.0, 1.0),
        initial={"u": lambda x: jnp.sin(jnp.pi * x[0])},
        boundary={"all": pm.Dirichlet(u=0.0)},
    )
    with_exact = heat()

    class Known(Oracle):
        def solve(self, problem, run=None):
            return super().solve(with_exact)

    methods = [Halving(0.0, "network"), Periodic(0.0, "no"), Known(1e-3, "first")]
    rows = pm.compare(problem, methods[1:], resolution=51, frames=3)
    assert rows.yardstick.label == "first"
    assert rows["first"].reference


def test_without_a_reference_errors_are_not_measured():
    exact = poisson()
    problem = exact.replace(exact={})

    class Alone(Halving):
        def solve(self, problem, run=None):
            return Oracle.solve(self, exact)

    rows = pm.compare(problem, [Alone(0.0, "network")], resolution=101)
    assert rows.yardstick is None
    assert rows["network"].status == "solved" and np.isnan(rows["network"].median.l2)
    assert "no reference" in str(rows)
    assert rows.plot().get_axes()


def test_a_reference_that_fails_is_an_error():
    with pytest.raises(pm.SolverError, match="the reference broken"):
        pm.compare(heat(), [Oracle(0.0)], Failing(0.0, "broken"), resolution=21, frames=2)


def test_exact_floor_is_rounding_in_both_precisions(float32):
    rows = pm.compare(heat(), [Oracle(0.0)], resolution=51, frames=3)
    floor = rows.yardstick.floor["u"].l2
    assert 1e-8 < floor < 1e-5
    assert rows.table("plain").count("< ") >= 1


def test_distance_is_relative_and_infinite_for_nan():
    reference = np.array([3.0, 4.0])
    assert distance(reference * 1.5, reference) == type(distance(reference, reference))(0.5, 2.0)
    assert distance(np.array([np.nan, 0.0]), reference).l2 == np.inf
    assert distance(np.ones(4), np.zeros(4)).l2 == 2.0


def test_round_trip(comparison, tmp_path):
    rows, _ = comparison
    rows.save(tmp_path)
    again = pm.Comparison.load(tmp_path)
    written = (tmp_path / "comparison.json").read_text()
    assert json.loads(json.dumps(again.as_dict())) == json.loads(written)
    assert str(again) == str(rows)
    sample, kept = rows["fine"].median.sample, again["fine"].median.sample
    np.testing.assert_array_equal(sample.values["u"], kept.values["u"])
    np.testing.assert_array_equal(sample.lattice.points, kept.lattice.points)
    data = json.loads((tmp_path / "comparison.json").read_text())
    assert (data["schema"], data["version"]) == ("physml.comparison", 1)
    data["version"] = 99
    (tmp_path / "comparison.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="version 99 of the format, this physml reads 1"):
        pm.Comparison.load(tmp_path)


def test_the_page_is_self_contained(comparison, tmp_path):
    rows, _ = comparison
    text = rows.save(tmp_path).read_text(encoding="utf-8")
    links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text)
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert "url(http" not in text and "@import" not in text and "<script" not in text
    for needed in ("∂u/∂t", "newton_diverged", "not periodic; use FEM", "float64", "Dirichlet"):
        assert needed in text
    for name in ("fields.png", "errors.png", "progress.png"):
        assert (tmp_path / name).stat().st_size > 1000


def test_messages_are_escaped_in_the_page():
    class Angry(Failing):
        def solve(self, problem, run=None):
            raise ValueError("<script>alert(1)</script> & more [/bold]")

    rows = pm.compare(heat(), [Angry(0.0, "angry"), Oracle(0.0)], resolution=21, frames=2)
    from physml.compare._page import page

    assert "<script>" not in page(rows) and "&lt;script&gt;" in page(rows)
    from rich.console import Console

    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(rows)
    console.file.close()
    assert "[/bold]" in console.export_text()


def test_resume_reads_finished_results_and_runs_the_rest(tmp_path):
    class Counted(Oracle):
        def solve(self, problem, run=None):
            calls.append(self.label)
            return super().solve(problem)

    calls: list[str] = []
    first = [Counted(1e-3, "one")]
    pm.compare(heat(), first, out=tmp_path, resolution=51, frames=3)
    both = [*first, Counted(1e-4, "two")]
    rows = pm.compare(heat(), both, out=tmp_path, resume=True, resolution=51, frames=3)
    assert calls == ["one", "two"]
    assert rows["one"].median.l2 == pytest.approx(1e-3)
    assert rows["one"].median.sample is not None
    # Other options are another run.
    pm.compare(heat(), [Counted(1e-2, "one")], out=tmp_path, resume=True, resolution=51, frames=3)
    assert calls == ["one", "two", "one"]
    with pytest.raises(ValueError, match="holds results of another problem"):
        pm.compare(heat(0.5), both, out=tmp_path, resume=True, resolution=51, frames=3)


def test_an_iterative_method_goes_on_from_its_checkpoint(tmp_path):
    method = Halving(0.0, "network")
    pm.compare(heat(), [method], steps=3, out=tmp_path, resolution=51, frames=3)
    rows = pm.compare(heat(), [method], steps=6, out=tmp_path, resume=True, resolution=51, frames=3)
    seconds = [s for s, _ in rows["network"].median.curve]
    assert seconds == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert rows["network"].median.l2 == pytest.approx(0.5**6)


def test_problem_fingerprint_sees_parameters_and_data():
    assert problem_fingerprint(heat()) == problem_fingerprint(heat())
    assert problem_fingerprint(heat()) != problem_fingerprint(heat(0.3))


def test_peak_memory_sees_an_allocation():
    with PeakMemory() as peak:
        block = np.ones(64 * 2**20 // 8)
        block += 1.0
    if peak.bytes == 0:
        pytest.skip("this system does not tell the resident set")
    assert 60 * 2**20 < peak.bytes < 200 * 2**20
    assert block[0] == 2.0


def test_repeated_names_are_numbered():
    rows = pm.compare(heat(), [Oracle(1e-1), Oracle(1e-2)], resolution=21, frames=2)
    assert [row.label for row in rows.rows] == ["oracle", "oracle (2)"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((heat(), []), TypeError, r"methods is a list such as"),
        ((heat(), Oracle(0.0)), TypeError, r"methods is a list such as"),
        ((heat(), [Oracle]), TypeError, r"Oracle is a class: give a method, Oracle\(\)"),
        (
            (heat(), ["fem"]),
            TypeError,
            r"expected a method such as pm.FiniteElement\(\), got 'fem'",
        ),
        ((heat, [Oracle(0.0)]), TypeError, r"expected a pm.Problem, got heat: call it, heat\(…\)"),
        ((None, [Oracle(0.0)]), TypeError, r"expected a pm.Problem, got None"),
        ((heat(), [Oracle(0.0)], 3), TypeError, r"expected a method such as"),
    ],
)
def test_arguments_of_another_kind(arguments, error, message):
    with pytest.raises(error, match=message):
        pm.compare(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": -1.0}, r"budget is a positive number of seconds or None, got -1.0"),
        ({"steps": 0}, r"steps is a positive whole number or None, got 0"),
        ({"seeds": ()}, r"seeds are different whole numbers ≥ 0"),
        ({"seeds": (1, 1)}, r"seeds are different whole numbers ≥ 0"),
        ({"resolution": 2}, r"resolution is a number of points, at least 5, got 2"),
        ({"frames": 1}, r"frames is a number of times, at least 2, got 1"),
        ({"resume": True}, r"resume=True needs out="),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        pm.compare(heat(), [Oracle(0.0)], **options)


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "run"
    with pytest.raises(OSError, match=r"can't be written: Not a directory; give another folder"):
        pm.compare(heat(), [Oracle(0.0)], out=place)


def test_solve_checks_before_it_runs(tmp_path):
    problem = heat()
    with pytest.raises(TypeError, match=r"Oracle is a class: give a method, Oracle\(\)"):
        pm.solve(problem, Oracle)
    with pytest.raises(pm.NotApplicable, match="periodic can't solve 'heat': the domain is not"):
        pm.solve(problem, Periodic(0.0, "periodic"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't be written"):
        pm.solve(problem, Failing(0.0, "never runs"), out=tmp_path / "file")
    with pytest.raises(ValueError, match=r"resume=True needs out="):
        pm.solve(problem, Oracle(0.0), resume=True)
    with pytest.raises(ValueError, match="seed is a whole number ≥ 0, got -1"):
        pm.solve(problem, Oracle(0.0), seed=-1)
    solution = pm.solve(problem, Oracle(0.0), out=tmp_path / "made")
    assert (tmp_path / "made").is_dir()
    exact = float(problem.exact_value("u", jnp.array([0.3]), 0.5))
    assert float(solution["u"](0.3, 0.5)) == pytest.approx(exact, rel=1e-12)


def test_no_two_methods_look_alike_in_the_picture():
    methods = [Oracle(10.0**-k, f"method {k}") for k in range(1, 13)]
    figure = pm.compare(heat(), methods, resolution=21, frames=2).plot("progress")
    (ax,) = figure.get_axes()
    looks = {(line.get_color(), line.get_marker()) for line in ax.get_lines()}
    assert len(looks) == len(methods)
