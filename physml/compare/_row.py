"""Rows of a comparison: what each run of a method gave, as plain data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from physml.compare._yardstick import Error
from solvers.output import Sample

STATUSES = ("solved", "skipped", "failed")


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One run of one method.

    Attributes:
        seed: its seed. status: "solved", "skipped" (does not apply) or "failed". message: why.
        errors: by field. curve: (run seconds, largest relative L2 error of any field) while
            it ran.
        compile_seconds, run_seconds: as the method reports them; wall_seconds: in all.
        unknowns, iterations, peak_memory (bytes above the start), notes: see `Stats`.
        certificate: the estimate of the error without the reference, see `certificate_of`; None
            where none was made.
        sample: the fields on the common lattice; None unless solved.
    """

    seed: int
    status: str
    message: str = ""
    errors: dict[str, Error] = dataclasses.field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    wall_seconds: float = 0.0
    unknowns: int = 0
    iterations: int = 0
    peak_memory: int = 0
    notes: tuple[str, ...] = ()
    certificate: dict[str, Any] | None = None
    sample: Sample | None = None

    @property
    def seconds(self) -> float:
        """Compiling and running, as the method reports them; the wall's where it does not."""
        return self.compile_seconds + self.run_seconds or self.wall_seconds

    @property
    def l2(self) -> float:
        """The largest relative L2 error of any field, NaN without a reference."""
        return max((e.l2 for e in self.errors.values()), default=math.nan)

    @property
    def effectivity(self) -> float:
        """Estimated by true error: in the certificate's norm where the exact solution is known,
        else relative errors in L² against the reference; NaN where there is neither."""
        if self.certificate is None:
            return math.nan
        known = self.certificate["effectivity"]
        if known is not None:
            return known
        if self.certificate["kind"] not in ("difference", "correction") or not self.l2 > 0:
            return math.nan
        return self.certificate["relative"] / self.l2

    def as_dict(self) -> dict[str, Any]:
        """Everything but the sample, for JSON."""
        out = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "sample"
        }
        out["errors"] = {name: dataclasses.asdict(e) for name, e in self.errors.items()}
        return out

    @classmethod
    def from_dict(cls, data: dict[str, Any], sample: Sample | None = None) -> Trial:
        known = {f.name for f in dataclasses.fields(cls)}
        data = {key: value for key, value in data.items() if key in known}
        data["errors"] = {
            name: Error.from_dict(entry) for name, entry in data.get("errors", {}).items()
        }
        data["curve"] = tuple((float(s), float(e)) for s, e in data.get("curve", ()))
        data["notes"] = tuple(data.get("notes", ()))
        return cls(**data, sample=sample)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One method: its name, its options, its trials (one a seed).

    Attributes:
        reference: whether this method is the reference of the comparison.
    """

    label: str
    options: str
    neural: bool
    trials: tuple[Trial, ...]
    reference: bool = False

    @property
    def solved(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.status == "solved")

    @property
    def status(self) -> str:
        """ "solved" if any trial was."""
        return "solved" if self.solved else self.trials[0].status

    @property
    def message(self) -> str:
        """The first message of a trial that was not solved."""
        return next((t.message for t in self.trials if t.status != "solved"), "")

    @property
    def median(self) -> Trial | None:
        """The solved trial of median error (the worse of two)."""
        ordered = sorted(self.solved, key=lambda t: (math.isnan(t.l2), t.l2))
        return ordered[len(ordered) // 2] if ordered else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "options": self.options,
            "neural": self.neural,
            "reference": self.reference,
            "status": self.status,
            "trials": [trial.as_dict() for trial in self.trials],
        }
