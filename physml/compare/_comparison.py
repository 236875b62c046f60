"""Comparison: rows of one problem, as a table, pictures, JSON and a page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py

from physml._folder import slug, writable_folder, write_json
from physml.compare import _table
from physml.compare._row import Row, Trial
from physml.compare._yardstick import Error, Yardstick
from solvers.output._hdf5 import read_sample, write_file, write_sample

SCHEMA = "physml.comparison"
SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` returns: plain data, with no solver behind it.

    Attributes:
        problem: the problem in words, see `statement`. rows: one a method.
        yardstick: the reference with its estimated error; None when there is none.
        environment: versions, device, precision. settings: budget, seeds, points, times, date.
    """

    problem: dict[str, Any]
    rows: tuple[Row, ...]
    yardstick: Yardstick | None
    environment: dict[str, Any]
    settings: dict[str, Any]

    def __getitem__(self, label: str) -> Row:
        for row in self.rows:
            if row.label == label:
                return row
        raise KeyError(f"no method {label!r}; the rows are {[row.label for row in self.rows]}")

    def table(self, style: str = "rich") -> Any:
        """The table: "rich" for a terminal, "plain" or "markdown" as text.

        Raises:
            ValueError: another style.
        """
        if style == "rich":
            return _table.rich_table(self)
        if style == "plain":
            return _table.plain(self)
        if style == "markdown":
            return _table.markdown(self)
        raise ValueError(f"style is 'rich', 'plain' or 'markdown', got {style!r}")

    def __str__(self) -> str:
        return self.table("plain")

    def __rich__(self) -> Any:
        return self.table("rich")

    def plot(self, what: str = "all", field: str | None = None) -> Any:
        """A matplotlib Figure.

        Arguments:
            what: "fields", "errors" (pointwise), "progress" (error against time), or "all".
            field: which field; the first by default.

        Raises:
            ValueError: unknown `what` or field, or nothing to draw.
        """
        from physml.compare import _plots

        return _plots.plot(self, what, field)

    def save(self, folder: str | Path) -> Path:
        """Writes comparison.json, fields.h5, PNG pictures and report.html; returns the page.

        Raises:
            OSError: the folder can't be written.
        """
        from physml.compare import _page, _plots

        place = writable_folder(folder)
        write_json(place / "comparison.json", self.as_dict())
        write_file(place / "fields.h5", self._fill)
        for what in _plots.available(self):
            _plots.plot(self, what).savefig(place / f"{what}.png", dpi=130)
        return _page.write(self, place / "report.html")

    def as_dict(self) -> dict[str, Any]:
        """Everything but the fields, for JSON."""
        reference = None
        if self.yardstick is not None:
            floor = self.yardstick.floor
            reference = {
                "label": self.yardstick.label,
                "floor": None
                if floor is None
                else {name: dataclasses.asdict(error) for name, error in floor.items()},
                "how": self.yardstick.how,
                "seconds": self.yardstick.seconds,
            }
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "problem": self.problem,
            "settings": self.settings,
            "environment": self.environment,
            "reference": reference,
            "rows": [row.as_dict() for row in self.rows],
        }

    def _fill(self, file: Any) -> None:
        if self.yardstick is not None:
            write_sample(file.create_group("reference"), self.yardstick.sample)
        for row in self.rows:
            for trial in row.solved:
                if trial.sample is not None:
                    group = file.create_group(f"methods/{slug(row.label)}/seed{trial.seed}")
                    write_sample(group, trial.sample)

    @classmethod
    def load(cls, folder: str | Path) -> Comparison:
        """What `save` wrote.

        Raises:
            OSError: no such files. ValueError: not a comparison, or of a newer version.
        """
        place = Path(folder)
        file = place / "comparison.json"
        if not file.is_file():
            raise FileNotFoundError(f"no comparison in {str(place)!r}: comparison.json is missing")
        data = json.loads(file.read_text(encoding="utf-8"))
        if data.get("schema") != SCHEMA:
            raise ValueError(f"{file}: not a comparison")
        if data.get("version") != SCHEMA_VERSION:
            raise ValueError(
                f"{file}: version {data.get('version')} of the format, this physml reads "
                f"{SCHEMA_VERSION}"
            )
        with h5py.File(place / "fields.h5", "r") as fields:
            rows = tuple(_row(entry, fields) for entry in data["rows"])
            yardstick = _yardstick(data["reference"], fields)
        return cls(data["problem"], rows, yardstick, data["environment"], data["settings"])


def _row(entry: dict[str, Any], fields: Any) -> Row:
    trials = []
    for item in entry["trials"]:
        key = f"methods/{slug(entry['label'])}/seed{item['seed']}"
        sample = read_sample(fields[key]) if key in fields else None
        trials.append(Trial.from_dict(item, sample))
    return Row(entry["label"], entry["options"], entry["neural"], tuple(trials), entry["reference"])


def _yardstick(entry: dict[str, Any] | None, fields: Any) -> Yardstick | None:
    if entry is None:
        return None
    floor = entry["floor"]
    if floor is not None:
        floor = {name: Error.from_dict(error) for name, error in floor.items()}
    sample = read_sample(fields["reference"])
    return Yardstick(entry["label"], sample, floor, entry["how"], entry["seconds"])
