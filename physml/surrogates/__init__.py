"""Surrogates: families of problems, solved samples, neural operators trained on them.

family = Family(make_problem, {"u0": GaussianField(domain)})
data = generate(family, method, 1000, "data.h5")
surrogate = train_surrogate(data, FNO)          # a method, beside the solver it replaces
"""

from physml.surrogates._dataset import Dataset, load_dataset
from physml.surrogates._distributions import (
    Distribution,
    GaussianField,
    LogUniform,
    Normal,
    SeriesFunction,
    Uniform,
)
from physml.surrogates._family import Family
from physml.surrogates._files import load_surrogate
from physml.surrogates._generate import generate
from physml.surrogates._library import FAMILIES, named
from physml.surrogates._library import Entry as FamilyEntry
from physml.surrogates._store import DatasetError
from physml.surrogates._surrogate import Surrogate
from physml.surrogates._train import train_surrogate

__all__ = [
    "FAMILIES",
    "Dataset",
    "DatasetError",
    "Distribution",
    "Family",
    "FamilyEntry",
    "GaussianField",
    "LogUniform",
    "Normal",
    "SeriesFunction",
    "Surrogate",
    "Uniform",
    "generate",
    "load_dataset",
    "load_surrogate",
    "named",
    "train_surrogate",
]
