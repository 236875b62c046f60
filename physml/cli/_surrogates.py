"""`physml generate` and `physml train`: samples of a family, and a surrogate trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from physml.cli import _methods, _problems
from physml.cli._setup import UserFileError, configure

DATA, SURROGATE = "data.h5", "surrogate.npz"


def _family(name: str) -> tuple[Any, Any]:
    """The family, and its entry: from the library, or with defaults for a user's own."""
    from physml.surrogates import FAMILIES, Family, FamilyEntry, named

    if not _problems.is_file(name):
        entry = named(name)
        return entry.family(), entry
    path = Path(name).expanduser()
    namespace = _problems.run_file(path)
    family = namespace.get("family")
    if not isinstance(family, Family):
        raise UserFileError(f"{path}: defines no family; write  family = pm.Family(…)")
    usual = FAMILIES["burgers_periodic"]
    periodic = all(family.template.domain.periodic)
    method: Any = namespace.get("method", "fourier" if periodic else "fem")
    points = {1: usual.points}.get(family.template.dim, 33)
    network: Any = namespace.get("network", usual.network)
    return family, FamilyEntry(lambda: family, method, points, network)


def generate(
    name: str,
    folder: Path,
    *,
    count: int | None,
    method: str | None,
    points: int | None,
    seed: int,
    precision: int,
    device: str | None,
    cache: bool,
) -> Path:
    """Solves samples into the folder; the file."""
    from physml._folder import writable_folder

    configure(precision, device, cache)
    from physml.surrogates import generate as solve

    family, entry = _family(name)
    chosen = method or entry.method
    solver = (
        _methods.make_method(chosen, family.template.dim) if isinstance(chosen, str) else chosen
    )
    path = writable_folder(folder) / DATA
    solve(
        family,
        solver,
        count or entry.count,
        path,
        seed=seed,
        points=points or entry.points,
        times=entry.times,
        progress=True,
    )
    return path


def train(
    name: str,
    folder: Path,
    *,
    data: Path | None,
    network: str | None,
    loss: str | None,
    epochs: int | None,
    budget: float | None,
    seed: int,
    resume: bool,
    precision: int,
    device: str | None,
    cache: bool,
) -> tuple[Path, str]:
    """Trains on the folder's samples; the surrogate's file, and what it says of itself."""
    configure(precision, device, cache)
    from physml.surrogates import load_dataset, train_surrogate

    family, entry = _family(name)
    chosen: str = loss or entry.loss
    source = data or folder / DATA
    options = dict(entry.training)
    if epochs is not None:
        options["epochs"] = epochs
    samples = load_dataset(source) if source.is_file() else None
    if chosen == "residual":
        subject, held = family, samples
        options.setdefault("points", entry.points)
    elif samples is None:
        raise FileNotFoundError(f"no samples at {source}: run  physml generate {name}  first")
    else:
        subject, held = samples, None
    if held is not None:
        options["validation"] = held
    out = folder / "surrogate"
    surrogate = train_surrogate(
        subject,
        network or entry.network,
        loss=chosen,
        family=family,
        budget=budget,
        seed=seed,
        out=out,
        resume=resume,
        progress=True,
        **options,
    )
    error = surrogate.training.expected_error
    said = (
        "no samples to validate on" if error is None else f"expected relative L2 error {error:.2g}"
    )
    return out / SURROGATE, said
