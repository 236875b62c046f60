"""The commands. Nothing heavy is imported until one runs."""

from pathlib import Path
from typing import Annotated

import typer

from physml.cli._setup import configure, readable

app = typer.Typer(
    name="physml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Write a PDE once; solve it by numerical and neural methods; compare them.",
)

ProblemName = Annotated[
    str, typer.Argument(metavar="NAME", help="A problem of the library, or a file my_problem.py.")
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for results.", show_default="runs/NAME")
]
Precision = Annotated[int, typer.Option(help="Bits of floating point: 64 or 32.")]
Device = Annotated[str | None, typer.Option(help="cpu or gpu.", show_default="JAX's choice")]
Seed = Annotated[int, typer.Option(min=0, help="For everything random.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps of neural methods.")]
Cache = Annotated[
    bool, typer.Option(help="Keep compiled programs between runs (also PHYSML_CACHE=0).")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _version(value: bool) -> None:
    if value:
        import physml

        typer.echo(f"physml {physml.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Write a PDE once; solve it by numerical and neural methods; compare them."""


@app.command("list")
@readable
def list_problems(debug: Debug = False) -> None:
    """Names the problems of the library and the methods."""
    configure(64, None, cache=False)
    from physml.cli import _show

    _show.list_all()


@app.command()
@readable
def show(name: ProblemName, debug: Debug = False) -> None:
    """Shows a problem: equation, domain, data, and which methods apply."""
    configure(64, None, cache=False)
    from physml.cli import _show

    _show.show(name)


@app.command()
@readable
def solve(
    name: ProblemName,
    method: Annotated[str, typer.Option(help="fem, fv, fourier, chebyshev, pinn, …")] = "fem",
    out: Out = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds for a neural method.", show_default="its own")
    ] = None,
    steps: Steps = None,
    seed: Seed = 0,
    precision: Precision = 64,
    device: Device = None,
    cache: Cache = True,
    debug: Debug = False,
) -> None:
    """Solves a problem by one method; writes the fields and a picture."""
    from physml.cli import _work

    options = {
        "method": method,
        "budget": budget,
        "steps": steps,
        "seeds": [seed],
        "precision": precision,
        "device": device,
        "cache": cache,
    }
    folder, config = _work.prepare("solve", name, out, options)
    typer.echo(f"picture: {_work.run(folder, config, resume=False)}")


@app.command()
@readable
def compare(
    name: ProblemName,
    methods: Annotated[
        str | None, typer.Option(help="Names such as fem,pinn.", show_default="all")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="A method to measure against.", show_default="exact, or a numerical one"),
    ] = None,
    budget: Annotated[float, typer.Option(help="Seconds for each neural method.")] = 40.0,
    steps: Steps = None,
    out: Out = None,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from --seed on.")] = 1,
    resolution: Annotated[
        int | None, typer.Option(min=5, help="Points at which errors are measured.")
    ] = None,
    precision: Precision = 64,
    device: Device = None,
    cache: Cache = True,
    debug: Debug = False,
) -> None:
    """Solves a problem by several methods; writes a report that a browser opens."""
    from physml.cli import _work

    options = {
        "methods": methods,
        "reference": reference,
        "budget": budget,
        "steps": steps,
        "seeds": list(range(seed, seed + seeds)),
        "resolution": resolution,
        "precision": precision,
        "device": device,
        "cache": cache,
    }
    folder, config = _work.prepare("compare", name, out, options)
    typer.echo(f"report: {_work.run(folder, config, resume=False)}")


@app.command()
@readable
def generate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A family, or a file that defines `family`.")
    ],
    count: Annotated[
        int | None, typer.Option(min=1, help="How many samples.", show_default="the family's")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="fem, fourier, …", show_default="the family's")
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=4, help="Of the grid, a direction.", show_default="its own")
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    precision: Precision = 64,
    device: Device = None,
    cache: Cache = True,
    debug: Debug = False,
) -> None:
    """Solves problems of a family into a file; started again it goes on where it was."""
    from physml.cli import _problems, _surrogates

    path = _surrogates.generate(
        name,
        out or Path("runs") / _problems.short_name(name),
        count=count,
        method=method,
        points=points,
        seed=seed,
        precision=precision,
        device=device,
        cache=cache,
    )
    typer.echo(f"samples: {path}")


@app.command()
@readable
def train(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A family, or a file that defines `family`.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Samples.", show_default="those of physml generate")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="fno or deeponet.", show_default="the family's")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="data, residual or both.", show_default="the family's")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the samples.")] = None,
    budget: Annotated[float | None, typer.Option(help="Seconds at most.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    out: Out = None,
    seed: Seed = 0,
    precision: Precision = 64,
    device: Device = None,
    cache: Cache = True,
    debug: Debug = False,
) -> None:
    """Trains a surrogate of a family on its samples, or on its equation alone."""
    from physml.cli import _problems, _surrogates

    path, said = _surrogates.train(
        name,
        out or Path("runs") / _problems.short_name(name),
        data=data,
        network=network,
        loss=loss,
        epochs=epochs,
        budget=budget,
        seed=seed,
        resume=resume,
        precision=precision,
        device=device,
        cache=cache,
    )
    typer.echo(f"surrogate: {path} ({said})")


@app.command()
@readable
def resume(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    debug: Debug = False,
) -> None:
    """Goes on with a run that was stopped: finished results are read back."""
    from physml._folder import writable_folder
    from physml.cli import _work

    config = _work.read_config(folder)
    writable_folder(folder)
    typer.echo(f"results: {_work.run(folder, config, resume=True)}")
