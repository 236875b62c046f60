"""Residual losses: strong, weak and by subdomains, all derived from the same problem."""

from ._coarse_tests import coarse_tests, whitening
from ._collocation import Collocation, point_residuals, point_slopes
from ._distance_shaping import DistanceShaping, distance_constraints, local_shaping
from ._energy import Energy, natural_conditions, no_energy
from ._hard import SOFT, Hard, Shaping, hard_constraints
from ._interfaces import Decomposed, flux_jump
from ._mesh_tests import Jets, bubble_tests, cell_map, test_count
from ._mesh_variational import (
    MeshVariational,
    SummedBlock,
    local_batch,
    mesh_of,
    nodal_batch,
    points_of,
)
from ._nodal_tests import (
    NodalTests,
    facet_measures,
    facet_tests,
    free_rows,
    natural_parts,
    nodal_tests,
)
from ._partition import Partition, PartitionTrial, make_partition
from ._points import boundary_points, initial_points, interior_points, stacked
from ._residuals import condition_residual, equation_residual
from ._separable import GridBlock, Separable, SeparableTrial, axis_inputs
from ._solenoidal import SolenoidalTrial, solenoidal_constraint, solenoidal_hard
from ._spectral import Spectral, spectral_batch
from ._subdivided import (
    OwnedBlock,
    Subdivided,
    SubdomainTrial,
    interface_jumps,
    subdomain_residuals,
)
from ._subdomains import Interface, Subdomains, make_subdomains
from ._tests import ReferenceTests, gauss_legendre, gauss_lobatto, graded_edges
from ._trial import (
    Inputs,
    Trial,
    TrialFunction,
    build_network,
    build_networks,
    data_scales,
    output_shapes,
    problem_inputs,
)
from ._variational import Variational, element_batch, pointwise_density, twice_density
from ._windows import Windows, WindowTrial, make_windows

__all__ = [
    "SOFT",
    "Collocation",
    "Decomposed",
    "DistanceShaping",
    "Energy",
    "GridBlock",
    "Hard",
    "Inputs",
    "Interface",
    "Jets",
    "MeshVariational",
    "NodalTests",
    "OwnedBlock",
    "Partition",
    "PartitionTrial",
    "ReferenceTests",
    "Separable",
    "SeparableTrial",
    "Shaping",
    "SolenoidalTrial",
    "Spectral",
    "Subdivided",
    "SubdomainTrial",
    "Subdomains",
    "SummedBlock",
    "Trial",
    "TrialFunction",
    "Variational",
    "WindowTrial",
    "Windows",
    "axis_inputs",
    "boundary_points",
    "bubble_tests",
    "build_network",
    "build_networks",
    "cell_map",
    "coarse_tests",
    "condition_residual",
    "data_scales",
    "distance_constraints",
    "element_batch",
    "equation_residual",
    "facet_measures",
    "facet_tests",
    "flux_jump",
    "free_rows",
    "gauss_legendre",
    "gauss_lobatto",
    "graded_edges",
    "hard_constraints",
    "initial_points",
    "interface_jumps",
    "interior_points",
    "local_batch",
    "local_shaping",
    "make_partition",
    "make_subdomains",
    "make_windows",
    "mesh_of",
    "natural_conditions",
    "natural_parts",
    "no_energy",
    "nodal_batch",
    "nodal_tests",
    "output_shapes",
    "point_residuals",
    "point_slopes",
    "points_of",
    "pointwise_density",
    "problem_inputs",
    "solenoidal_constraint",
    "solenoidal_hard",
    "spectral_batch",
    "stacked",
    "subdomain_residuals",
    "test_count",
    "twice_density",
    "whitening",
]
