"""What the command line alone may do: configure JAX, and turn errors into one message."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def configure(precision: int, device: str | None, cache: bool = True) -> None:
    """Sets precision, device and the compilation cache, before anything is computed.

    Raises:
        ValueError: unknown precision or device, or no GPU where one is asked for.
    """
    if precision not in (32, 64):
        raise ValueError(f"--precision is 64 or 32, got {precision}")
    if device not in (None, "cpu", "gpu"):
        raise ValueError(f"--device is cpu or gpu, got {device!r}")
    # XLA reports each program of the cache that another kind of processor compiled.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import jax

    jax.config.update("jax_enable_x64", precision == 64)
    # A host callback copies its arguments: with few threads and asynchronous dispatch that copy can
    # wait for the thread that the callback holds, for ever.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    if device == "gpu":
        _require_gpu(jax)
    folder = cache_folder()
    if cache and folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _require_gpu(jax: Any) -> None:
    try:
        found = jax.devices("gpu")
    except RuntimeError:
        found = []
    if not found:
        raise ValueError(
            "--device gpu: JAX finds no GPU here; install its CUDA build, "
            "pip install 'jax[cuda12]', or use --device cpu"
        )
    jax.config.update("jax_default_device", found[0])


def cache_folder() -> Path | None:
    """Where compiled programs are kept: PHYSML_CACHE, or the user's cache folder; None when
    PHYSML_CACHE is 0 or no folder can be made."""
    chosen = os.environ.get("PHYSML_CACHE")
    if chosen in ("0", "off", "no", ""):
        return None
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(chosen) if chosen else Path(home) / "physml" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder


class UserFileError(Exception):
    """An error that a user's own file raised, told with its line."""


def readable(command: Callable) -> Callable:
    """A command whose errors are one message and exit code 1; --debug shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        import typer

        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            typer.echo("stopped; finished results are kept", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            if kwargs.get("debug"):
                traceback.print_exc()
            typer.echo(f"error: {message(error)}", err=True)
            raise typer.Exit(1) from None

    return wrapped


def message(error: BaseException) -> str:
    """What to tell the user: errors of our own say all; others need their type as well."""
    text = str(error).strip()
    ours = type(error) in (ValueError, TypeError, UserFileError, FileNotFoundError, OSError)
    if ours or type(error).__module__.split(".")[0] in ("solvers", "physml", "pdes"):
        return text or type(error).__name__
    hint = "" if "--debug" in sys.argv else " (--debug shows where)"
    return f"{type(error).__name__}: {text}{hint}"
