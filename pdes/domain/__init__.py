"""Domains: where a problem holds, how its boundary is called, how it is sampled and meshed."""

from pdes.domain._ball import Ball
from pdes.domain._base import BoundarySample, Domain
from pdes.domain._box import Box, Interval, Rectangle
from pdes.domain._csg import Difference, Intersection, Union
from pdes.domain._disk import Disk
from pdes.domain._extrusion import Cylinder, Extrusion
from pdes.domain._mapped import joined_mesh, mapped_mesh
from pdes.domain._mesh import Mesh
from pdes.domain._mesh_domain import MeshDomain
from pdes.domain._meshio import read_mesh, write_mesh
from pdes.domain._polygon import LShape, Polygon

__all__ = [
    "Ball",
    "BoundarySample",
    "Box",
    "Cylinder",
    "Difference",
    "Disk",
    "Domain",
    "Extrusion",
    "Intersection",
    "Interval",
    "LShape",
    "Mesh",
    "MeshDomain",
    "Polygon",
    "Rectangle",
    "Union",
    "joined_mesh",
    "mapped_mesh",
    "read_mesh",
    "write_mesh",
]
