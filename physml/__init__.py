"""physml: write a PDE once, pointwise; solve it by any method; compare on the same axes.

Everything public is reached as ``import physml as pm``: equations, domains and conditions
(package ``pdes``), numerical methods (``solvers``), neural methods and comparison (``physml``).
Names are imported when first used, so that ``import physml`` loads neither JAX nor anything
that needs it.
"""

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdes import PDE as PDE
    from pdes import Balance as Balance
    from pdes import Ball as Ball
    from pdes import Box as Box
    from pdes import ByRegion as ByRegion
    from pdes import CellData as CellData
    from pdes import Coefficient as Coefficient
    from pdes import Components as Components
    from pdes import Condition as Condition
    from pdes import Constant as Constant
    from pdes import Constraint as Constraint
    from pdes import Cylinder as Cylinder
    from pdes import Definition as Definition
    from pdes import Difference as Difference
    from pdes import Dirichlet as Dirichlet
    from pdes import Disk as Disk
    from pdes import Domain as Domain
    from pdes import Extrusion as Extrusion
    from pdes import FieldCondition as FieldCondition
    from pdes import Form as Form
    from pdes import Free as Free
    from pdes import Function as Function
    from pdes import Intersection as Intersection
    from pdes import Interval as Interval
    from pdes import KarhunenLoeve as KarhunenLoeve
    from pdes import LShape as LShape
    from pdes import Mesh as Mesh
    from pdes import MeshDomain as MeshDomain
    from pdes import NetworkCoefficient as NetworkCoefficient
    from pdes import Neumann as Neumann
    from pdes import NoStorage as NoStorage
    from pdes import Observations as Observations
    from pdes import Outflow as Outflow
    from pdes import Pin as Pin
    from pdes import Point as Point
    from pdes import Polygon as Polygon
    from pdes import Problem as Problem
    from pdes import Rectangle as Rectangle
    from pdes import Robin as Robin
    from pdes import Scalar as Scalar
    from pdes import Slip as Slip
    from pdes import Traction as Traction
    from pdes import Union as Union
    from pdes import Vector as Vector
    from pdes import Wall as Wall
    from pdes import ZeroMean as ZeroMean
    from pdes import as_coefficient as as_coefficient
    from pdes import coefficient as coefficient
    from pdes import joined_mesh as joined_mesh
    from pdes import library as library
    from pdes import manufactured as manufactured
    from pdes import mapped_mesh as mapped_mesh
    from pdes import point_of as point_of
    from pdes import read_mesh as read_mesh
    from pdes import strong_residual as strong_residual
    from pdes import write_mesh as write_mesh
    from physml import networks as networks
    from physml import optimizers as optimizers
    from physml import training as training
    from physml._ensemble import Ensemble as Ensemble
    from physml._ensemble import ensemble as ensemble
    from physml._solve import solve as solve
    from physml.compare import Comparison as Comparison
    from physml.compare import compare as compare
    from physml.inverse import Fit as Fit
    from physml.inverse import Posterior as Posterior
    from physml.inverse import fit as fit
    from physml.inverse import laplace as laplace
    from physml.methods import CPINN as CPINN
    from physml.methods import FBPINN as FBPINN
    from physml.methods import PINN as PINN
    from physml.methods import SPINN as SPINN
    from physml.methods import VPINN as VPINN
    from physml.methods import XPINN as XPINN
    from physml.methods import Curriculum as Curriculum
    from physml.methods import DeepRitz as DeepRitz
    from physml.methods import MeshVPINN as MeshVPINN
    from physml.methods import RandomFeatures as RandomFeatures
    from physml.methods import RobustVPINN as RobustVPINN
    from physml.methods import SpectralPINN as SpectralPINN
    from physml.methods import TimeSlabs as TimeSlabs
    from physml.networks import MLP as MLP
    from physml.networks import SIREN as SIREN
    from physml.networks import FourierFeatures as FourierFeatures
    from physml.networks import FourierSeries as FourierSeries
    from physml.networks import ModifiedMLP as ModifiedMLP
    from physml.networks import MultiscaleFourier as MultiscaleFourier
    from physml.networks import MultiStage as MultiStage
    from physml.networks import OrthonormalSines as OrthonormalSines
    from physml.networks import Periodic as Periodic
    from physml.networks import PirateNet as PirateNet
    from physml.networks import Rescale as Rescale
    from physml.networks import SeparableNetwork as SeparableNetwork
    from physml.operators import FNO as FNO
    from physml.operators import DeepONet as DeepONet
    from physml.optimizers import DSGNAR as DSGNAR
    from physml.optimizers import FOOF as FOOF
    from physml.optimizers import KFAC as KFAC
    from physml.optimizers import LBFGS as LBFGS
    from physml.optimizers import SOAP as SOAP
    from physml.optimizers import Adam as Adam
    from physml.optimizers import EnergyNaturalGradient as EnergyNaturalGradient
    from physml.optimizers import GaussNewton as GaussNewton
    from physml.optimizers import HessianFree as HessianFree
    from physml.optimizers import JetBlock as JetBlock
    from physml.optimizers import Optax as Optax
    from physml.optimizers import SelfScaledBFGS as SelfScaledBFGS
    from physml.optimizers import SelfScaledBroyden as SelfScaledBroyden
    from physml.surrogates import Dataset as Dataset
    from physml.surrogates import DatasetError as DatasetError
    from physml.surrogates import Family as Family
    from physml.surrogates import GaussianField as GaussianField
    from physml.surrogates import LogUniform as LogUniform
    from physml.surrogates import Normal as Normal
    from physml.surrogates import Surrogate as Surrogate
    from physml.surrogates import Uniform as Uniform
    from physml.surrogates import generate as generate
    from physml.surrogates import load_dataset as load_dataset
    from physml.surrogates import load_surrogate as load_surrogate
    from physml.surrogates import train_surrogate as train_surrogate
    from physml.training import Phase as Phase
    from solvers import Eigenmodes as Eigenmodes
    from solvers import Method as Method
    from solvers import NotApplicable as NotApplicable
    from solvers import Solution as Solution
    from solvers import SolverError as SolverError
    from solvers import Stats as Stats
    from solvers import eigenvalues as eigenvalues
    from solvers.certify import Certificate as Certificate
    from solvers.fem import AdaptiveFiniteElement as AdaptiveFiniteElement
    from solvers.fem import DiscontinuousGalerkin as DiscontinuousGalerkin
    from solvers.fem import Estimate as Estimate
    from solvers.fem import FiniteElement as FiniteElement
    from solvers.fem import estimate as estimate
    from solvers.fv import FiniteVolume as FiniteVolume
    from solvers.output import load as load
    from solvers.output import read_pdebench as read_pdebench
    from solvers.spectral import Chebyshev as Chebyshev
    from solvers.spectral import ExponentialFilter as ExponentialFilter
    from solvers.spectral import Fourier as Fourier
    from solvers.spectral import Ultraspherical as Ultraspherical
    from solvers.spectral import autocorrelation as autocorrelation
    from solvers.spectral import dissipation as dissipation
    from solvers.spectral import energy as energy
    from solvers.spectral import spectrum as spectrum
    from solvers.spectral import trajectory as trajectory

# A public name and the module that defines it. The block above repeats it for type checkers.
_EXPORTS: dict[str, str] = {
    "Adam": "physml.optimizers",
    "AdaptiveFiniteElement": "solvers.fem",
    "Balance": "pdes",
    "Ball": "pdes",
    "Box": "pdes",
    "ByRegion": "pdes",
    "CPINN": "physml.methods",
    "CellData": "pdes",
    "Certificate": "solvers.certify",
    "Chebyshev": "solvers.spectral",
    "Coefficient": "pdes",
    "Comparison": "physml.compare",
    "Components": "pdes",
    "Condition": "pdes",
    "Constant": "pdes",
    "Constraint": "pdes",
    "Curriculum": "physml.methods",
    "Cylinder": "pdes",
    "DSGNAR": "physml.optimizers",
    "Dataset": "physml.surrogates",
    "DatasetError": "physml.surrogates",
    "DeepONet": "physml.operators",
    "DeepRitz": "physml.methods",
    "Definition": "pdes",
    "Difference": "pdes",
    "Dirichlet": "pdes",
    "DiscontinuousGalerkin": "solvers.fem",
    "Disk": "pdes",
    "Domain": "pdes",
    "Eigenmodes": "solvers",
    "EnergyNaturalGradient": "physml.optimizers",
    "Ensemble": "physml._ensemble",
    "Estimate": "solvers.fem",
    "ExponentialFilter": "solvers.spectral",
    "Extrusion": "pdes",
    "FBPINN": "physml.methods",
    "FNO": "physml.operators",
    "FOOF": "physml.optimizers",
    "Family": "physml.surrogates",
    "FieldCondition": "pdes",
    "FiniteElement": "solvers.fem",
    "FiniteVolume": "solvers.fv",
    "Fit": "physml.inverse",
    "Form": "pdes",
    "Fourier": "solvers.spectral",
    "FourierFeatures": "physml.networks",
    "FourierSeries": "physml.networks",
    "Free": "pdes",
    "Function": "pdes",
    "GaussNewton": "physml.optimizers",
    "GaussianField": "physml.surrogates",
    "HessianFree": "physml.optimizers",
    "Intersection": "pdes",
    "Interval": "pdes",
    "JetBlock": "physml.optimizers",
    "KFAC": "physml.optimizers",
    "KarhunenLoeve": "pdes",
    "LBFGS": "physml.optimizers",
    "LShape": "pdes",
    "LogUniform": "physml.surrogates",
    "MLP": "physml.networks",
    "Mesh": "pdes",
    "MeshDomain": "pdes",
    "MeshVPINN": "physml.methods",
    "Method": "solvers",
    "ModifiedMLP": "physml.networks",
    "MultiStage": "physml.networks",
    "MultiscaleFourier": "physml.networks",
    "NetworkCoefficient": "pdes",
    "Neumann": "pdes",
    "NoStorage": "pdes",
    "Normal": "physml.surrogates",
    "NotApplicable": "solvers",
    "Observations": "pdes",
    "Optax": "physml.optimizers",
    "OrthonormalSines": "physml.networks",
    "Outflow": "pdes",
    "PDE": "pdes",
    "PINN": "physml.methods",
    "Periodic": "physml.networks",
    "Phase": "physml.training",
    "Pin": "pdes",
    "PirateNet": "physml.networks",
    "Point": "pdes",
    "Polygon": "pdes",
    "Posterior": "physml.inverse",
    "Problem": "pdes",
    "RandomFeatures": "physml.methods",
    "Rectangle": "pdes",
    "Rescale": "physml.networks",
    "Robin": "pdes",
    "RobustVPINN": "physml.methods",
    "SIREN": "physml.networks",
    "SOAP": "physml.optimizers",
    "SPINN": "physml.methods",
    "Scalar": "pdes",
    "SelfScaledBFGS": "physml.optimizers",
    "SelfScaledBroyden": "physml.optimizers",
    "SeparableNetwork": "physml.networks",
    "Slip": "pdes",
    "Solution": "solvers",
    "SolverError": "solvers",
    "SpectralPINN": "physml.methods",
    "Stats": "solvers",
    "Surrogate": "physml.surrogates",
    "TimeSlabs": "physml.methods",
    "Traction": "pdes",
    "Ultraspherical": "solvers.spectral",
    "Uniform": "physml.surrogates",
    "Union": "pdes",
    "VPINN": "physml.methods",
    "Vector": "pdes",
    "Wall": "pdes",
    "XPINN": "physml.methods",
    "ZeroMean": "pdes",
    "as_coefficient": "pdes",
    "autocorrelation": "solvers.spectral",
    "coefficient": "pdes",
    "compare": "physml.compare",
    "dissipation": "solvers.spectral",
    "eigenvalues": "solvers",
    "energy": "solvers.spectral",
    "ensemble": "physml._ensemble",
    "estimate": "solvers.fem",
    "fit": "physml.inverse",
    "generate": "physml.surrogates",
    "joined_mesh": "pdes",
    "laplace": "physml.inverse",
    "load": "solvers.output",
    "load_dataset": "physml.surrogates",
    "load_surrogate": "physml.surrogates",
    "manufactured": "pdes",
    "mapped_mesh": "pdes",
    "point_of": "pdes",
    "read_mesh": "pdes",
    "read_pdebench": "solvers.output",
    "solve": "physml._solve",
    "spectrum": "solvers.spectral",
    "strong_residual": "pdes",
    "train_surrogate": "physml.surrogates",
    "trajectory": "solvers.spectral",
    "write_mesh": "pdes",
}

# Whole modules reached as attributes: pm.library.Burgers.
_MODULES: dict[str, str] = {
    "library": "pdes.library",
    "networks": "physml.networks",
    "optimizers": "physml.optimizers",
    "training": "physml.training",
}

__all__ = sorted([*_EXPORTS, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def _refuse_foreign(package: str) -> None:
    """Raise ImportError where ``package`` is not the one distributed with physml.

    ``pdes`` and ``solvers`` are plain names: a folder of the user's, or another distribution,
    may come first on ``sys.path``.
    """
    home = Path(__file__).resolve().parent.parent
    expected = home / package
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(
            f"physml needs its package {package!r}, expected at {expected}, but none is on "
            "sys.path; reinstall physml, or run from the folder that holds it"
        )
    found = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    if (expected / "__init__.py").resolve() not in [Path(path).resolve() for path in found]:
        raise ImportError(
            f"physml needs its own package {package!r} at {expected}, but 'import {package}' "
            f"finds {', '.join(found) or 'another module'}; rename that one, or move it behind "
            f"{home} on sys.path"
        )


for _package in ("pdes", "solvers"):
    _refuse_foreign(_package)
del _package


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("physml")
    except metadata.PackageNotFoundError:
        pass
    import tomllib

    # In place and not installed: the project file beside the package holds the version.
    project = Path(__file__).resolve().parent.parent / "pyproject.toml"
    if not project.is_file():
        return "unknown"
    with project.open("rb") as file:
        return tomllib.load(file)["project"]["version"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        close = difflib.get_close_matches(name, [*_EXPORTS, *_MODULES], n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise AttributeError(f"module 'physml' has no attribute {name!r}{hint}", name=name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_EXPORTS, *_MODULES, "__version__"])


class _Physml(ModuleType):
    """Keeps a public function from being hidden by a subpackage of the same name.

    Importing ``physml.compare._table`` binds the subpackage to ``physml.compare``, which is the
    function's public name.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _EXPORTS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Physml
