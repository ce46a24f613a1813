"""The command line. Heavy imports happen inside the commands, so that help and listings are instant."""

from __future__ import annotations

import sys

import typer

from ensemble.cli.common import Verbosity, app

# Each module adds its commands to the application; the order here is that of `ensemble --help`.
# isort: off
from ensemble.cli import running, inference, twin, products, reference  # noqa: F401
# isort: on

__all__ = ["app", "main"]


def main() -> None:
    """Entry point of the command `ensemble`."""
    try:
        app()
    except Exception:
        if Verbosity.verbose:
            raise
        import traceback

        text = traceback.format_exc()
        typer.echo(f"{text}\nThis is a bug in ensemble; please report it with the lines above.", err=True)
        sys.exit(1)
