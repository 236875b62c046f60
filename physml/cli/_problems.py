"""Problems by name from the library, or from a user's own file."""

from __future__ import annotations

import difflib
import importlib.util
import linecache
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from physml.cli._setup import UserFileError


def is_file(name: str) -> bool:
    """Whether a problem's name stands for a file."""
    return name.endswith(".py") or os.sep in name


def short_name(name: str) -> str:
    """The name of the run's folder."""
    return Path(name).stem if is_file(name) else name


def load(name: str) -> tuple[Any, dict[str, Any]]:
    """The problem, and the other names that a user's file defines.

    Raises:
        ValueError: no such problem. FileNotFoundError: no such file.
        UserFileError: the file raised an error; names its line.
    """
    from pdes import Problem

    if not is_file(name):
        return _from_library(name), {}
    path = Path(name).expanduser()
    namespace = run_file(path)
    problem = namespace.get("problem")
    if problem is None:
        raise UserFileError(f"{path}: defines no problem; write  problem = pm.Problem(…)")
    if not isinstance(problem, Problem):
        raise UserFileError(
            f"{path}: `problem` is {type(problem).__name__}, expected a pm.Problem"
            + ("; call the function that makes it" if callable(problem) else "")
        )
    return problem, namespace


def _from_library(name: str) -> Any:
    from pdes.library import PROBLEMS

    if name not in PROBLEMS:
        close = difflib.get_close_matches(name, PROBLEMS, n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"no problem {name!r} in the library; {hint}`physml list` names them; "
            "a file of your own is given as my_problem.py"
        )
    return PROBLEMS[name]()


def run_file(path: Path) -> dict[str, Any]:
    """Runs a user's file in its own folder, so that a mesh it names is found beside it.

    Raises:
        FileNotFoundError: no such file. UserFileError: it raised; names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    path = path.resolve()
    label = f"_physml_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(label, path)
    if spec is None or spec.loader is None:
        raise UserFileError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    before = Path.cwd()
    # Dataclasses and inspect look classes' modules up here.
    sys.modules[label] = module
    sys.path.insert(0, str(path.parent))
    os.chdir(path.parent)
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        where = f"{path.name}, line {error.lineno}"
        raise UserFileError(
            f"{where}: {type(error).__name__}: {error.msg}\n    {line.strip()}"
        ) from error
    except (Exception, SystemExit) as error:
        raise UserFileError(_located(error, path)) from error
    finally:
        os.chdir(before)
        sys.path.remove(str(path.parent))
    return vars(module)


def _located(error: BaseException, path: Path) -> str:
    """The error with the last line of the user's file on the way to it."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path
    ]
    text = f"{type(error).__name__}: {error}"
    if not frames:
        return f"{path.name}: {text}"
    number = frames[-1].lineno or 0
    source = linecache.getline(str(path), number).strip()
    return f"{path.name}, line {number}: {text}\n    {source}"
