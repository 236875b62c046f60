"""The command line: `physml --help`."""

from physml.cli._app import app


def main() -> None:
    """Runs the command line."""
    app()


__all__ = ["app", "main"]
