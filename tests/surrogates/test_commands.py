"""`physml generate` and `physml train` on a user's own file."""

import pytest

import physml as pm
from physml.cli import _surrogates
from physml.surrogates import FAMILIES, named

FILE = """
import functools
import physml as pm
from tests.surrogates._families import burgers_family
from tests.surrogates._spectral import PeriodicBurgers
family = burgers_family()
method = PeriodicBurgers(n=32, steps=20, frames=2)
network = functools.partial(pm.FNO, width=8, modes=4, depth=2)
"""
COMMON = {"seed": 0, "precision": 64, "device": None, "cache": False}


def test_samples_and_a_surrogate_from_a_file(tmp_path):
    file, out = tmp_path / "mine.py", tmp_path / "out"
    file.write_text(FILE)
    path = _surrogates.generate(str(file), out, count=12, method=None, points=16, **COMMON)
    assert len(pm.load_dataset(path)) == 12
    options = {"data": None, "network": None, "loss": None, "epochs": 1, "budget": None}
    path, said = _surrogates.train(str(file), out, resume=False, **options, **COMMON)
    assert pm.load_surrogate(path).layout.points == (16,)
    assert said.startswith("expected relative L2 error")
    with pytest.raises(FileNotFoundError, match="physml generate"):
        _surrogates.train(str(file), tmp_path / "none", resume=False, **options, **COMMON)


def test_a_wrong_name_suggests_a_right_one():
    with pytest.raises(ValueError, match="did you mean burgers_periodic"):
        named("burgers_periodics")


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_families_of_the_library_can_be_made(name):
    entry = named(name)
    layout = entry.family().layout(entry.points, entry.times)
    assert layout.family == name and layout.channels == 1
