"""Residual losses: strong, weak and by subdomains, all derived from the same problem."""

from ._collocation import Collocation, point_residuals, point_slopes
from ._hard import SOFT, Hard, Shaping, hard_constraints
from ._interfaces import Decomposed, flux_jump
from ._partition import Partition, PartitionTrial, make_partition
from ._points import boundary_points, initial_points, interior_points, stacked
from ._residuals import condition_residual, equation_residual
from ._solenoidal import SolenoidalTrial, solenoidal_constraint, solenoidal_hard
from ._tests import ReferenceTests, gauss_legendre, gauss_lobatto, graded_edges
from ._trial import (
    Inputs,
    Trial,
    TrialFunction,
    build_network,
    data_scales,
    output_shapes,
    problem_inputs,
)
from ._variational import Variational, element_batch, pointwise_density

__all__ = [
    "SOFT",
    "Collocation",
    "Decomposed",
    "Hard",
    "Inputs",
    "Partition",
    "PartitionTrial",
    "ReferenceTests",
    "Shaping",
    "SolenoidalTrial",
    "Trial",
    "TrialFunction",
    "Variational",
    "boundary_points",
    "build_network",
    "condition_residual",
    "data_scales",
    "element_batch",
    "equation_residual",
    "flux_jump",
    "gauss_legendre",
    "gauss_lobatto",
    "graded_edges",
    "hard_constraints",
    "initial_points",
    "interior_points",
    "make_partition",
    "output_shapes",
    "point_residuals",
    "point_slopes",
    "pointwise_density",
    "problem_inputs",
    "solenoidal_constraint",
    "solenoidal_hard",
    "stacked",
]
