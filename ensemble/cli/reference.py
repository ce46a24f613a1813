"""Models, schema, a study to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.common import AsJson, app, guarded


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="one model in full")] = None, as_json: AsJson = False
) -> None:
    """List the models, or one with its inputs, units, defaults, supports, outputs and sources."""
    with guarded():
        from ensemble.listing import list_models, show_model

        typer.echo(list_models(as_json) if name is None else show_model(name, as_json))


@app.command()
def schema() -> None:
    """Print the JSON schema of a study file, for editors."""
    from ensemble.config import StudyRecord

    typer.echo(json.dumps(StudyRecord.model_json_schema(by_alias=True), indent=1))


@app.command()
def new(
    model: Annotated[str, typer.Argument(help="a model from `ensemble models`")],
    out: Annotated[Path | None, typer.Option("--out", help="file to write (default: MODEL.yaml)")] = None,
) -> None:
    """Write a commented study to start from; it validates as it stands."""
    with guarded():
        from ensemble.listing import write_new_study

        typer.echo(str(write_new_study(model, out or Path(f"{model}.yaml"))))
