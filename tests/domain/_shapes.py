"""Domains that the tests go over, with what is known of them."""

import numpy as np

from pdes.domain import Ball, Box, Disk, Interval, LShape, Polygon, Rectangle

CHANNEL = Rectangle((0.0, 0.0), (2.2, 0.41)) - Disk((0.2, 0.2), 0.05, boundary="cylinder")
LENS = 2 * np.pi / 3 - np.sqrt(3) / 2  # two unit disks whose centres are 1 apart

# Domain, area, length of the boundary.
PLANAR = {
    "rectangle": (Rectangle((0.0, -1.0), (2.0, 1.0)), 4.0, 8.0),
    "disk": (Disk((0.5, -1.0), 2.0), 4 * np.pi, 4 * np.pi),
    "L": (LShape(), 3.0, 8.0),
    "triangle": (Polygon([(0, 0), (0, 1), (2, 0)]), 1.0, 3 + np.sqrt(5)),
    "channel": (CHANNEL, 2.2 * 0.41 - np.pi * 0.05**2, 2 * 2.61 + 0.1 * np.pi),
    "lens": (Disk() & Disk((1.0, 0.0)), LENS, 4 * np.pi / 3),
    "two disks": (Disk() | Disk((1.0, 0.0)), 2 * np.pi - LENS, 8 * np.pi / 3),
    "moon": (Disk() - Disk((1.0, 0.0)), np.pi - LENS, 2 * np.pi),
    "neighbours": (Rectangle() | Rectangle((1.0, 0.0), (2.0, 1.0)), 2.0, 6.0),
    "frame": (
        (Rectangle() | Rectangle((1.0, 0.0), (2.0, 1.0))) - Disk((1.0, 0.5), 0.3, "hole"),
        2 - 0.09 * np.pi,
        6 + 0.6 * np.pi,
    ),
}
SOLID = {
    "box": (Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)), 6.0, 22.0),
    "ball": (Ball((1.0, 0.0, 0.0), 0.5), np.pi / 6, np.pi),
    "hollow": (
        Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) - Ball((0.5, 0.5, 0.5), 0.3, "hole"),
        1 - 4 / 3 * np.pi * 0.027,
        6 + 4 * np.pi * 0.09,
    ),
    "octant": (
        Box((0.0, 0.0, 0.0), (2.0, 2.0, 2.0)) & Ball(),
        np.pi / 6,
        3 * np.pi / 4 + np.pi / 2,
    ),
    "joined boxes": (
        Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) | Box((1.0, 0.0, 0.0), (2.0, 1.0, 1.0)),
        2.0,
        10.0,
    ),
}
LINE = {"interval": (Interval(-1.0, 2.0), 3.0, 2.0)}
ALL = {**LINE, **PLANAR, **SOLID}
