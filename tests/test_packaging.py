"""What is distributed, under which version, and the front package's table of names."""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import physml

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["physml", "solvers", "pdes"]


@pytest.fixture(scope="module")
def project() -> dict:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def run_python(code: str, first_on_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with a folder before the repository on sys.path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(first_on_path), str(ROOT)])}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=first_on_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_holds_the_three_packages(project):
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == PACKAGES
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file()
        assert (ROOT / package / "py.typed").is_file()


def test_one_version(project):
    version = project["project"]["version"]
    citation = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    released = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation is not None and citation[1] == version
    assert released is not None and released[1] == version
    assert physml.__version__ == version


def test_version_is_found_in_place(tmp_path, project):
    code = (
        "from importlib import metadata\n"
        "def missing(name): raise metadata.PackageNotFoundError(name)\n"
        "metadata.version = missing\n"
        "import physml; print(physml.__version__)"
    )
    assert run_python(code, tmp_path).stdout.strip() == project["project"]["version"]


def test_console_script(project):
    assert project["project"]["scripts"] == {"physml": "physml.cli:main"}


@pytest.mark.parametrize("package", ["solvers", "pdes"])
@pytest.mark.parametrize("kind", ["package", "module"])
def test_foreign_package_is_refused_by_path(tmp_path, package, kind):
    relative = f"{package}/__init__.py" if kind == "package" else f"{package}.py"
    foreign = tmp_path / relative
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("")
    run = run_python("import physml", tmp_path)
    assert run.returncode != 0
    message = run.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: physml needs its own package")
    assert str(foreign) in message and str(ROOT / package) in message


def test_missing_package_is_named(tmp_path):
    (tmp_path / "physml").mkdir()
    source = (ROOT / "physml" / "__init__.py").read_text(encoding="utf-8")
    (tmp_path / "physml" / "__init__.py").write_text(source, encoding="utf-8")
    code = "import importlib.util\nimportlib.util.find_spec = lambda name: None\nimport physml"
    run = run_python(code, tmp_path)
    assert "needs its package 'pdes', expected at" in run.stderr
    assert str(tmp_path / "pdes") in run.stderr


@pytest.mark.parametrize("name", sorted(physml._EXPORTS))
def test_public_name_resolves(name):
    value = getattr(physml, name)
    assert value is getattr(importlib.import_module(physml._EXPORTS[name]), name)


@pytest.mark.parametrize("name", sorted(physml._MODULES))
def test_public_module_resolves(name):
    assert getattr(physml, name) is importlib.import_module(physml._MODULES[name])


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "physml" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = [
        alias.asname or alias.name
        for node in block.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(seen) == sorted([*physml._EXPORTS, *physml._MODULES])
    assert physml.__all__ == sorted(seen)
    assert set(seen) <= set(dir(physml))


def test_a_function_is_not_hidden_by_a_subpackage_of_its_name(tmp_path):
    subpackages = {path.parent.name for path in (ROOT / "physml").glob("*/__init__.py")}
    subpackages |= {path.stem for path in (ROOT / "physml").glob("*.py")}
    code = "import importlib, physml, types\n" + "".join(
        f"importlib.import_module('physml.{name}')\n"
        f"assert not isinstance(physml.{name}, types.ModuleType), '{name}'\n"
        for name in sorted(subpackages & set(physml._EXPORTS))
    )
    run = run_python(code, tmp_path)
    assert run.returncode == 0, run.stderr


def test_wrong_name_suggests_close_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'Dirichlett'; did you mean Dirichlet"):
        physml.Dirichlett  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'qqqq'$"):
        physml.qqqq  # noqa: B018
