"""The command line: names, files, errors in one line, results on disk, resuming after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

pytest.importorskip("typer")
from typer.testing import CliRunner

from physml.cli import _methods, app
from physml.cli._setup import cache_folder

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = "from tests.compare._stand_ins import Failing, Halving, Oracle, Periodic\n"
USER = (
    "import physml as pm\nfrom pdes.library import heat\n" + STAND_INS + "problem = heat()\n"
    "methods = [Oracle(1e-3, 'coarse'), Failing(0.0, 'broken'), Halving(0.0, 'network')]\n"
)
# The test process has its precision and device already.
SAME = ["--precision", "64"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No cache of the user's, no configuration of JAX left behind, a folder of its own."""
    monkeypatch.setenv("PHYSML_CACHE", "0")
    monkeypatch.chdir(tmp_path)
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def invoke(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def user_file(tmp_path: Path, text: str = USER) -> Path:
    path = tmp_path / "my_problem.py"
    path.write_text(text)
    return path


def one_line(result) -> str:
    """The error's text; nothing else was said, and no traceback."""
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert result.stderr.startswith("error: ")
    return result.stderr.removeprefix("error: ").strip()


def fresh(*arguments: str, cwd: Path) -> subprocess.Popen:
    """The command in a process of its own; what it says goes to output.txt."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PHYSML_CACHE": "0",
        "JAX_PLATFORMS": "cpu",
    }
    with (cwd / "output.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "physml", *arguments],
            env=environment,
            cwd=cwd,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_list_names_problems_and_methods():
    result = invoke("list")
    assert result.exit_code == 0, result.output
    for name in ("burgers", "poisson", "kovasznay", *_methods.METHODS):
        assert name in result.output
    assert "Burgers on [−1, 1] × [0, 1] with u₀ = −sin πx and u = 0 at both ends." in " ".join(
        result.output.split()
    )


def test_show_says_equation_data_and_methods():
    result = invoke("show", "burgers")
    assert result.exit_code == 0, result.output
    for text in ("∂u/∂t + ∇·(½u² a) = ν ∇²u", "t ∈ [0, 1]", "0.0031831", "Dirichlet", "method fem"):
        assert text in result.output


def test_compare_of_a_users_file(tmp_path):
    result = invoke("compare", str(user_file(tmp_path)), "--resolution", "51", *SAME)
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "my_problem"
    assert result.output.rstrip().endswith("report: runs/my_problem/report.html")
    for name in ("config.json", "log.jsonl", "report.html", "fields.h5", "comparison.json"):
        assert (folder / name).is_file()
    config = json.loads((folder / "config.json").read_text())
    assert (config["command"], config["finished"]) == ("compare", True)
    events = [json.loads(line)["event"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert events == ["start", "end"] * 3
    assert "[newton_diverged]" in (folder / "report.html").read_text()


def test_resume_of_a_finished_run_solves_nothing(tmp_path):
    first = invoke("compare", str(user_file(tmp_path)), "--resolution", "51", *SAME)
    assert first.exit_code == 0, first.output
    result = invoke("resume", "runs/my_problem")
    assert result.exit_code == 0, result.output
    assert result.output.count("read back from") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "burger"], "no problem 'burger' in the library; did you mean burgers"),
        (["show", "missing.py"], "no file 'missing.py'"),
        (["compare", "burgers", "--methods", "fme"], "no method 'fme'; did you mean fem"),
        (["compare", "burgers", "--methods", ","], "--methods needs names such as fem,pinn"),
        (["compare", "burgers", "--methods", "fem,fem"], "--methods names a method twice"),
        (["compare", "burgers", "--budget", "-3"], "budget is a positive number of seconds"),
        (["compare", "burgers", "--precision", "16"], "--precision is 64 or 32, got 16"),
        (["compare", "burgers", "--device", "tpu"], "--device is cpu or gpu, got 'tpu'"),
        (["solve", "burgers", "--method", "nothing"], "no method 'nothing'"),
        (["resume", "nowhere"], "'nowhere' is not a run's folder: it has no config.json"),
    ],
)
def test_nonsense_is_one_line(arguments, message):
    assert message in one_line(invoke(*arguments))


def test_usage_errors_have_their_own_code():
    assert invoke("compare").exit_code == 2
    assert invoke("nothing").exit_code == 2
    assert invoke("compare", "burgers", "--seed", "-1").exit_code == 2


def test_no_gpu_is_a_clear_error():
    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("there is a GPU")
    text = one_line(invoke("compare", "burgers", "--device", "gpu"))
    assert text.startswith("--device gpu: JAX finds no GPU here; install its CUDA build")


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("")
    text = one_line(invoke("compare", "burgers", "--out", "taken"))
    assert text == ("the output folder 'taken' can't be written: File exists; give another folder")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import physml as pm\nnu = 1 / 0\n",
            "my_problem.py, line 2: ZeroDivisionError: division by zero\n    nu = 1 / 0",
        ),
        (
            "import physml as pm\nproblem = pm.Problem(\n",
            "my_problem.py, line 2: SyntaxError: '(' was never closed",
        ),
        ("x = 1\n", "my_problem.py: defines no problem; write  problem = pm.Problem(…)"),
        ("problem = 3\n", "`problem` is int, expected a pm.Problem"),
        (
            "from pdes.library import heat\nproblem = heat\n",
            "`problem` is function, expected a pm.Problem; call the function that makes it",
        ),
        (
            "import physml as pm\nfrom pdes.library import Heat\n"
            "problem = pm.Problem(Heat(), pm.Interval(0, 1), boundary={'lid': pm.Free('u')})\n",
            "my_problem.py, line 3: ValueError: no boundary 'lid'; this domain has "
            "['left', 'right']",
        ),
        ("raise SystemExit(3)\n", "my_problem.py, line 1: SystemExit: 3"),
    ],
)
def test_errors_in_a_users_file_have_its_line(tmp_path, source, message):
    assert message in one_line(invoke("compare", str(user_file(tmp_path, source))))


def test_a_users_file_runs_beside_its_data(tmp_path, monkeypatch):
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / "value.txt").write_text("0.25")
    source = (
        "from pathlib import Path\nfrom pdes.library import heat\n"
        "problem = heat(float(Path('value.txt').read_text()))\n"
    )
    path = place / "my_problem.py"
    path.write_text(source)
    before = list(sys.path)
    result = invoke("show", str(path))
    assert result.exit_code == 0, result.output
    assert "0.25" in result.output
    assert Path.cwd() == tmp_path and sys.path == before


def test_debug_shows_the_traceback(capfd):
    result = invoke("show", "burger", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.output + capfd.readouterr().err


def test_cache_folder(monkeypatch, tmp_path):
    assert cache_folder() is None
    monkeypatch.delenv("PHYSML_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "physml" / "jax"
    monkeypatch.setenv("PHYSML_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_every_method_of_the_table_is_public():
    import physml

    for entry in _methods.METHODS.values():
        assert entry.public in physml._EXPORTS, entry.public
        method = entry.make(2)
        assert method.neural == entry.neural


def test_help_answers_without_jax():
    code = (
        "import sys\nfrom physml.cli import app\n"
        "from typer.testing import CliRunner\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0 and 'compare' in result.output, result.output\n"
        "print([m for m in ('jax', 'numpy', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_a_killed_comparison_resumes(tmp_path):
    slow = USER.replace("Halving(0.0, 'network')", "Halving(0.0, 'network', pause=0.3)")
    slow = slow.replace("Failing(0.0, 'broken')", "Oracle(1e-4, 'fine')")
    path = user_file(tmp_path, slow)
    process = fresh("compare", str(path), "--resolution", "51", "--steps", "12", cwd=tmp_path)
    network = tmp_path / "runs" / "my_problem" / "methods" / "network" / "seed0"
    checkpoint = network / "step.txt"
    deadline = time.monotonic() + 120
    while not (checkpoint.is_file() and checkpoint.read_text() in {"3", "4", "5", "6"}):
        assert process.poll() is None, (tmp_path / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (network / "result.json").exists()
    reached = int(checkpoint.read_text())
    result = invoke("resume", "runs/my_problem")
    assert result.exit_code == 0, result.output
    assert result.output.count("read back from") == 2
    assert result.output.rstrip().endswith("results: runs/my_problem/report.html")
    data = json.loads((tmp_path / "runs/my_problem/comparison.json").read_text())
    (row,) = [row for row in data["rows"] if row["label"] == "network"]
    (trial,) = row["trials"]
    assert trial["errors"]["u"]["l2"] == pytest.approx(0.5**12)
    seconds = [s for s, _ in trial["curve"]]
    # The curve goes on where it was; a step after the checkpoint is there once.
    assert reached < 12
    assert seconds == [float(k) for k in range(1, 13)]
