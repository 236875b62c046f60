"""Output folders: found writable before work starts, and files written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any


def writable_folder(path: str | Path) -> Path:
    """The folder, made where it is missing.

    Raises:
        OSError: it can't be made or written; names the path and the reason.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".write-test-"):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"the output folder {str(folder)!r} can't be written: {reason}; give another folder"
        ) from None
    return folder


def write_text(path: Path, text: str) -> Path:
    """Writes a text file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def write_json(path: Path, data: Any) -> Path:
    """Writes JSON; numbers that are not finite become null."""
    return write_text(path, json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n")


def append_json(path: Path, data: Any) -> None:
    """Adds one line to a JSONL file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_finite(data), ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> list[Any]:
    """The lines of a JSONL file; a last line cut short by a kill is left out."""
    if not path.is_file():
        return []
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return out


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "unnamed"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    if isinstance(data, bool | int | str) or data is None:
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Path):
        return str(data)
    if hasattr(data, "item"):
        return _finite(data.item())
    return str(data)
