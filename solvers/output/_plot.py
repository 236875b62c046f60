"""Pictures of samples: space–time maps and slices, filled contours, mid-planes.

Figures are made without pyplot: no global state, no window, no back end to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solvers.output._interpolate import continued
from solvers.output._sample import Sample, make_lattice, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.floating]

SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
_NAMES = "xyz"


def plot(
    solution: Any,
    field: str | None = None,
    t: float | None = None,
    *,
    edges: bool = False,
    deformed: str | None = None,
    scale: float | None = None,
    streamlines: str | None = None,
) -> Figure:
    """A Figure of one field of a solution; see `Solution.plot`.

    Raises:
        ValueError: an unknown field, a time outside the problem's, a field that is no vector of
            the plane where one is needed. NotApplicable: edges or a deformed shape where there is
            no plane mesh.
    """
    problem = solution.problem
    name = check_field(problem.shapes, field)
    for vector in (deformed, streamlines):
        if vector is not None:
            check_field(problem.shapes, vector)
            if problem.dim != 2 or problem.shapes[vector] != (2,):
                raise ValueError(
                    f"{vector!r} is no vector field of the plane: its shape is "
                    f"{problem.shapes[vector]} in {problem.dim} dimensions"
                )
    times = _times(problem, t)
    if edges or deformed is not None:
        return _on_mesh(solution, name, t, edges, deformed, scale, streamlines)
    if streamlines is not None and times is not None:
        times = times[-1:]
        t = float(times[0])
    count = {1: 1001, 2: 151**2, 3: 51**3}.get(problem.dim)
    taken = sample(solution, count, times)
    components = component_names(name, problem.shapes[name])
    layout = _layout(taken, t)
    figure = new_figure(layout[0] * 1.0, layout[1] * len(components))
    grid = figure.subplots(len(components), layout[2], squeeze=False)
    for axes, (label, index) in zip(grid, components, strict=True):
        values = component(taken.values[name], index, taken)
        draw(axes, taken, values, label, t is None, edge(problem.domain, taken))
        if streamlines is not None:
            _streamlines(axes[0], solution, streamlines, 0.0 if t is None else t)
    title = f"{problem.name}, {taken.method}" + (f", t = {t:g}" if t is not None else "")
    figure.suptitle(title)
    return figure


def _times(problem: Any, t: float | None) -> Floats | None:
    """The times of a picture; None for a steady problem."""
    if t is not None:
        if problem.time is None:
            raise ValueError(f"the problem {problem.name!r} is steady: leave t out")
        start, end = problem.time
        if not start <= t <= end:
            raise ValueError(f"t = {t:g} lies outside the time interval [{start:g}, {end:g}]")
        return np.array([t])
    if problem.time is None:
        return None
    start, end = problem.time
    return np.linspace(start, end, 101 if problem.dim == 1 else 3)


def _on_mesh(solution, name, t, edges, deformed, scale, streamlines) -> Figure:
    """One panel a component on the cells, at one time (the end by default)."""
    from solvers.output._mesh_plot import automatic_scale, field_on_mesh, mesh_of

    mesh_of(solution)
    problem = solution.problem
    at = t if t is not None else 0.0 if problem.time is None else problem.time[1]
    factor = scale
    if deformed is not None and scale is None:
        factor = automatic_scale(solution, deformed, at)
    components = component_names(name, problem.shapes[name])
    figure = new_figure(6.0, 4.8 * len(components))
    grid = figure.subplots(len(components), 1, squeeze=False)[:, 0]
    for ax, (label, index) in zip(grid, components, strict=True):
        image = field_on_mesh(
            ax,
            solution,
            name,
            index,
            at,
            limits,
            edges=edges,
            deformed=deformed,
            scale=factor or 0.0,
        )
        nice_ticks(figure.colorbar(image, ax=ax, label=label, shrink=0.9))
        if streamlines is not None:
            _streamlines(ax, solution, streamlines, at)
    title = f"{problem.name}, {getattr(solution.method, 'name', '')}"
    title += "" if problem.time is None else f", t = {at:g}"
    title += f", deformed {factor:.3g} times" if deformed is not None else ""
    figure.suptitle(title)
    return figure


def _streamlines(ax: Any, solution: Any, field: str, t: float) -> None:
    """Lines along a vector field of the plane, none where the domain ends."""
    steady = solution.problem.time is None
    taken = sample(solution, 101**2, None if steady else np.array([t]))
    u, v = (component(taken.values[field], i, taken)[0] for i in range(2))
    x, y = taken.lattice.axes
    ax.streamplot(x, y, u.T, v.T, color="black", linewidth=0.6, arrowsize=0.7, density=1.2)
    ax.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))


def _layout(taken: Sample, t: float | None) -> tuple[float, float, int]:
    """Width, height of a row, and number of panels in a row."""
    dim = len(taken.lattice.axes)
    if taken.steady or t is not None:
        return (6.4, 4.0, 1) if dim == 1 else (6.0, 4.8, 1)
    return (10.5, 4.0, 2) if dim == 1 else (13.5, 4.2, 3)


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def check_field(shapes: Any, field: str | None) -> str:
    """The field, or the first one.

    Raises:
        ValueError: no such field.
    """
    if field is None:
        return next(iter(shapes))
    if field not in shapes:
        raise ValueError(f"no field {field!r}; the fields are {list(shapes)}")
    return field


def component_names(name: str, shape: Sequence[int]) -> list[tuple[str, int | None]]:
    """A scalar's name, or each component's: u₀, u₁, …"""
    if not shape:
        return [(name, None)]
    subscripts = "₀₁₂₃₄₅₆₇₈₉"
    return [
        (name + "".join(subscripts[int(c)] for c in str(i)), i) for i in range(int(np.prod(shape)))
    ]


def component(values: Floats, index: int | None, taken: Sample) -> Floats:
    """One component on the lattice, (frames, *lattice), NaN outside the domain."""
    flat = values.reshape(*values.shape[:2], -1)
    return taken.lattice.spread(flat[..., index or 0])


def limits(values: Floats, symmetric: bool | None = None) -> tuple[float, float, str]:
    """Colour limits and a colour map: diverging about zero where values have both signs."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    both = low < 0 < high and min(-low, high) > 0.05 * max(-low, high)
    if both if symmetric is None else symmetric:
        bound = max(abs(low), abs(high))
        return -bound, bound, DIVERGING
    if high - low <= 1e-14 * max(abs(low), abs(high), 1e-300):
        pad = max(abs(high), 1.0) * 1e-3
        return low - pad, high + pad, SEQUENTIAL
    return low, high, SEQUENTIAL


def draw(
    axes: Any,
    taken: Sample,
    values: Floats,
    label: str,
    several: bool = True,
    outside: tuple[Floats, Floats, Any] | None = None,
) -> None:
    """Fills a row of axes with one component on the lattice, (frames, *lattice)."""
    dim = len(taken.lattice.axes)
    if dim == 1:
        if taken.steady or not several:
            line(axes[0], taken.lattice.axes[0], values[0], label)
        else:
            space_time(axes[0], taken, values, label)
            slices(axes[1], taken, values, label)
        return
    low, high, colours = limits(values)
    shown = [0] if taken.steady or not several else [0, len(values) // 2, len(values) - 1]
    for ax, frame in zip(axes, shown, strict=True):
        image = plane(ax, taken, values[frame], low, high, colours, outside=outside)
        if not taken.steady and several:
            ax.set_title(f"t = {taken.times[frame]:.4g}")
    bar = axes[0].figure.colorbar(image, ax=list(axes), label=label, shrink=0.9)
    nice_ticks(bar)


def nice_ticks(bar: Any) -> None:
    """Round numbers on a colour bar of contours, whose levels are not round."""
    from matplotlib.ticker import MaxNLocator

    low, high = bar.mappable.levels[0], bar.mappable.levels[-1]
    bar.set_ticks([tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high])


def line(ax: Any, x: Floats, values: Floats, label: str) -> None:
    ax.plot(x, values, lw=1.6)
    ax.set(xlabel="x", ylabel=label)
    ax.grid(alpha=0.3)


def space_time(
    ax: Any, taken: Sample, values: Floats, label: str, scale: Any = None, bar: bool = True
) -> Any:
    """The map of one component over time (abscissa) and space (ordinate)."""
    if scale is None:
        low, high, colours = limits(values)
        scale = {"vmin": low, "vmax": high, "cmap": colours}
    image = ax.pcolormesh(
        taken.times, taken.lattice.axes[0], values.T, shading="nearest", rasterized=True, **scale
    )
    ax.set(xlabel="t", ylabel="x", xlim=(taken.times[0], taken.times[-1]))
    if bar:
        ax.figure.colorbar(image, ax=ax, label=label)
    return image


def slices(ax: Any, taken: Sample, values: Floats, label: str, count: int = 5) -> None:
    """Profiles at some times, later ones darker."""
    import matplotlib

    colours = matplotlib.colormaps["viridis_r"]
    frames = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
    for i, frame in enumerate(frames):
        shade = colours(0.12 + 0.88 * i / max(len(frames) - 1, 1))
        ax.plot(
            taken.lattice.axes[0],
            values[frame],
            color=shade,
            lw=1.5,
            label=f"t = {taken.times[frame]:.3g}",
        )
    ax.set(xlabel="x", ylabel=label)
    ax.grid(alpha=0.3)
    ax.legend(fontsize="small", framealpha=0.8)


def plane(
    ax: Any,
    taken: Sample,
    values: Floats,
    low: float,
    high: float,
    colours: str,
    *,
    norm: Any = None,
    extend: str = "neither",
    outside: tuple[Floats, Floats, Any] | None = None,
) -> Any:
    """Filled contours in two dimensions; in three and more, of the plane in the middle.

    Arguments:
        norm: draw a map of cells by this norm instead, for logarithmic scales.
        outside: axes and mask of a finer lattice, to cut the picture at the domain's edge; by
            default the sample's own.
    """
    axes, inside = taken.lattice.axes, taken.lattice.inside
    while values.ndim > 2:
        values, inside = values[..., values.shape[-1] // 2], inside[..., inside.shape[-1] // 2]
    whole = bool(inside.all())
    if norm is None:
        # Beyond the edge the field is continued, so that contours reach the edge.
        shown = values if whole else continued(values[None], 2, layers=2)[0]
        edges = np.linspace(low, high, 33)
        pad = 1e-9 * (high - low)
        edges[0], edges[-1] = edges[0] - pad, edges[-1] + pad
        shown = np.clip(shown, low, high) if extend == "neither" else shown
        image = ax.contourf(axes[0], axes[1], shown.T, edges, cmap=colours, extend=extend)
        if not whole:
            x, y, mask = outside or (axes[0], axes[1], inside)
            ax.contourf(x, y, mask.T.astype(float), [-0.5, 0.5], colors="white")
    else:
        image = ax.pcolormesh(
            axes[0],
            axes[1],
            values.T,
            cmap=colours,
            norm=norm,
            shading="nearest",
            rasterized=True,
        )
    ax.set(xlabel="x", ylabel="y", aspect="equal")
    if len(axes) > 2:
        middle = axes[2][len(axes[2]) // 2]
        ax.annotate(f"z = {middle:.3g}", (0.02, 0.97), xycoords="axes fraction", va="top")
    return image


def edge(domain: Any, taken: Sample) -> tuple[Floats, Floats, Any] | None:
    """A fine lattice's axes and mask, of a plane domain that is not the whole lattice."""
    if len(taken.lattice.axes) != 2 or taken.lattice.inside.all():
        return None
    x, y = (np.linspace(axis[0], axis[-1], 601) for axis in taken.lattice.axes)
    return x, y, make_lattice(domain, (x, y)).inside
