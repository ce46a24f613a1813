"""The application, its shared options, and how what goes wrong becomes one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ensemble import __version__

GO_ON = "run the same command to go on"
INTERRUPTED = 130  # what Typer gives for Ctrl-C in a command that takes no signals itself
OK, WRONG_INPUT, STOPPED, NOT_CONVERGED, DAMAGED = 0, 2, 3, 4, 5

# Typer's error of a wrong command line; releases of Typer keep it in different places.
Misused: Any = typer.BadParameter.__mro__[1]


class Commands(TyperGroup):
    """The commands; a wrong command line is one sentence, as every other wrong input."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run a command; ends the process with its exit code, as Typer's own method does."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except Misused as error:
            message, command = error.format_message().strip(), error.ctx.command_path if error.ctx else "ensemble"
            if "\n" not in message:  # a whole help page comes where nothing was asked
                message = f"error: {message[:1].lower()}{message[1:].removesuffix('.')}; see `{command} --help`"
            typer.echo(message, err=True)
            sys.exit(WRONG_INPUT)
        except typer.Abort:
            sys.exit(1)
        if code == INTERRUPTED:
            typer.echo(f"\nstopped, {GO_ON}", err=True)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="ensemble",
    cls=Commands,
    help="Soil organic carbon with an honest error bar: one study file in, an ensemble with its uncertainty out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _whole_number(text: str) -> int:
    """What --seed and --members take; their range is checked with the study's own keys."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not allowed; allowed: a whole number") from None


Study = Annotated[Path, typer.Argument(help="study file (YAML)", show_default=False)]
StorePath = Annotated[str, typer.Argument(help="store: a .zarr folder, or s3://BUCKET/NAME", show_default=False)]
Out = Annotated[
    str | None,
    typer.Option("--out", help="store to write: a folder, or s3://BUCKET/NAME (default: results/STUDY.zarr)"),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, replaces a key of the study; repeatable")]
Seed = Annotated[
    int | None, typer.Option("--seed", parser=_whole_number, metavar="INTEGER", help="replaces design.seed")
]
Members = Annotated[
    int | None, typer.Option("--members", parser=_whole_number, metavar="INTEGER", help="replaces design.members")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


class Verbosity:
    """What --quiet and --verbose said."""

    quiet = False
    verbose = False


def _print_version(wanted: bool) -> None:
    """Print the version and stop; a callback, so that it needs no command behind it."""
    if wanted:
        typer.echo(f"ensemble {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="print the version and stop", is_eager=True, callback=_print_version)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print only errors and results")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="print more; show where a bug happened")] = False,
    no_user_code: Annotated[
        bool, typer.Option("--no-user-code", help="refuse a study that names a model file; workers refuse it too")
    ] = False,
) -> None:
    Verbosity.quiet, Verbosity.verbose = quiet, verbose
    if no_user_code:
        from ensemble.models.registry import NO_USER_CODE

        os.environ[NO_USER_CODE] = "1"


def fail(message: str, code: int) -> NoReturn:
    """End the process with one sentence and its exit code."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    from ensemble.config import SuspiciousInput

    if issubclass(category, SuspiciousInput) or Verbosity.verbose:
        typer.echo(f"warning: {message}", err=True)


@contextmanager
def guarded() -> Iterator[None]:
    """Turn what can go wrong into one sentence and an exit code; a bug of ours keeps its traceback."""
    from ensemble.config import InputError
    from ensemble.errors import Damaged, Stopped, StoreRefused

    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        yield
    except (InputError, StoreRefused) as error:
        fail(str(error), WRONG_INPUT)
    except Stopped as error:
        fail(str(error), STOPPED)
    except Damaged as error:
        fail(str(error), DAMAGED)


def say(text: str) -> None:
    """Print a line unless --quiet."""
    if not Verbosity.quiet:
        typer.echo(text)
