"""What is made of a solution: samples, pictures, films and files."""

from solvers.output._animate import animate
from solvers.output._files import save
from solvers.output._load import Loaded, load
from solvers.output._pdebench import Trajectories, read_pdebench
from solvers.output._plot import draw, plot
from solvers.output._sample import (
    Lattice,
    Sample,
    default_count,
    default_times,
    evaluate,
    lattice,
    sample,
)

__all__ = [
    "Lattice",
    "Loaded",
    "Sample",
    "Trajectories",
    "animate",
    "default_count",
    "default_times",
    "draw",
    "evaluate",
    "lattice",
    "load",
    "plot",
    "read_pdebench",
    "sample",
    "save",
]
