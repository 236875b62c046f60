"""The rules of the house that a reader cannot see: who imports whom, and what import costs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pdes", "solvers", "physml")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PEERS = {"skfem", "exponax", "dolfinx", "jax_fem", "jax_cfd", "deepxde", "jinns", "dedalus"}
FORBIDDEN = {
    "pdes": PEERS | {"solvers", "physml"},
    "solvers": PEERS | {"physml"},
    "physml": PEERS,
}
LINES = 450


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', '?')}"


def imported_roots(tree: ast.Module):
    """Each import statement anywhere in a file, with the top-level package it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, (node.module or "").partition(".")[0]


def module_level_calls(tree: ast.Module):
    """Calls that run at import: everything but the bodies of functions and the main guard."""
    pending: list[ast.AST] = [
        statement
        for statement in tree.body
        if not (isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test))
    ]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield node
        pending.extend(ast.iter_child_nodes(node))


def test_every_package_has_sources():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    wrong = [
        f"{where(path, node)} imports {root}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for node, root in imported_roots(parse(path))
        if root in FORBIDDEN[package]
    ]
    assert wrong == []


def test_files_are_short():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_nothing_is_printed_at_import():
    wrong = [
        where(path, call)
        for path in FILES
        for call in module_level_calls(parse(path))
        if isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert wrong == []


def test_only_the_command_line_configures_jax():
    wrong = [
        where(path, node)
        for path in FILES
        if not path.relative_to(ROOT).as_posix().startswith("physml/cli")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("config.update")
    ]
    assert wrong == []


def loaded_after(statement: str) -> set[str]:
    """Heavy libraries present in a fresh interpreter after a statement."""
    heavy = "('jax', 'jaxlib', 'equinox', 'diffrax', 'optax', 'matplotlib', 'scipy', 'meshio')"
    code = f"{statement}\nimport sys\nprint(*(m for m in {heavy} if m in sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


def test_import_loads_nothing_heavy():
    assert loaded_after("import physml") == set()


def test_the_check_sees_what_is_loaded():
    assert "jax" in loaded_after("import physml; physml.PDE")


def test_help_loads_nothing_heavy():
    pytest.importorskip("typer")
    statement = (
        "import contextlib, sys\n"
        "sys.argv = ['physml', '--help']\n"
        "from physml.cli import main\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print()"
    )
    assert loaded_after(statement) == set()
