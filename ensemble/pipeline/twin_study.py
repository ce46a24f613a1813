"""Which study a twin follows, and what makes a line of it: a change of any of this begins a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble import __version__
from ensemble.config import study_from_record
from ensemble.config.calibration import Calibrate
from ensemble.config.given import Observations
from ensemble.config.twin import Twin as Settings
from ensemble.errors import StoreRefused
from ensemble.pipeline.loading import checked, load_plan
from ensemble.pipeline.origin import study_of
from ensemble.plan import Plan, make_plan
from ensemble.provenance import describe_differences, digest_of, file_checksums
from ensemble.store import open_store
from ensemble.store.place import Place, is_there
from ensemble.twin.journal import Entry, Journal

# Keys of a study that change what is known after a measurement.
KEYS = (
    "model", "options", "precision", "sites", "inputs", "uncertain", "correlation", "fields", "scenarios", "calibrate",
)  # fmt: skip
# Settings of the twin that do not.
_ASIDE = ("horizon", "forecast_draws", "continues", "false_alarms")


def plan_of_twin(store: Place, journal: Journal, study: Path | None, overrides: Sequence[str]) -> Plan:
    """The study a twin follows: the one given, else that of its last line, else the store's.

    Raises:
        StoreRefused: none of them exists.
        InputError: the study is wrong.
    """
    if study is not None:
        return load_plan(study, overrides, None, None)
    begins = journal.of_kind("begin")
    if begins:
        data = begins[-1].data
        return checked(make_plan(study_from_record(data["study"], Path(data["file"]))))
    if not is_there(store):
        raise StoreRefused(f"there is neither a store nor a twin at {store}; begin one with --study FILE")
    return checked(make_plan(study_of(open_store(store))))


def settings_of(plan: Plan) -> tuple[Calibrate, Settings]:
    """How errors are described and how measurements are taken in, with defaults where the study is silent.

    Raises:
        InputError: an arm that continues another is unknown.
    """
    record = plan.study.record
    settings = record.twin or Settings()
    for arm, origin in settings.continues.items():
        for name in (arm, origin):
            if name not in plan.scenarios:
                allowed = ", ".join(plan.scenarios)
                raise plan.study.error(("twin", "continues", arm), f"there is no scenario '{name}'; allowed: {allowed}")
        if origin in settings.continues:
            raise plan.study.error(("twin", "continues", arm), f"'{origin}' itself continues another scenario")
    return record.calibrate or Calibrate(), settings


def rules_of(plan: Plan) -> Observations:
    """How tables of measurements are read."""
    return plan.study.record.observations or Observations(file="")


def identity_of(plan: Plan) -> dict[str, Any]:
    """Everything that decides what is known after a measurement."""
    study = plan.study.resolved()
    calibrate, settings = settings_of(plan)
    own = rules_of(plan).file
    files = [file for file in plan.base.files if not own or file != plan.study.path(own)]
    return {
        **{key: study.get(key) for key in KEYS},
        "calibrate": calibrate.model_dump(mode="json", exclude={"hold_out", "method", "chains", "warmup", "draws"}),
        "twin": {k: v for k, v in settings.model_dump(mode="json").items() if k not in _ASIDE},
        "seed": plan.seed,
        "files": file_checksums(files, plan.study.folder),
        "ensemble": __version__,
    }


def is_new(journal: Journal, plan: Plan) -> bool:
    """Whether a plan would begin a line."""
    return not _goes_on(journal.of_kind("begin"), digest_of(identity_of(plan)))


def _goes_on(begins: Sequence[Entry], digest: str) -> bool:
    return bool(begins) and begins[-1].data["digest"] == digest


def line_for(journal: Journal, plan: Plan) -> tuple[int, str, str | None]:
    """The line that a plan belongs to, begun where the last one differs.

    Returns:
        Number of the line, its digest, and what differs from the line before (``None`` where the line goes on).
    """
    identity = identity_of(plan)
    digest = digest_of(identity)
    begins = journal.of_kind("begin")
    if _goes_on(begins, digest):
        return len(begins), digest, None
    why = describe_differences(begins[-1].data["identity"], identity) if begins else "the twin begins"
    data: Mapping[str, Any] = {
        "line": len(begins) + 1,
        "digest": digest,
        "identity": identity,
        "study": plan.study.resolved(),
        "file": str(plan.study.document.file.absolute()),
        "why": why,
    }
    journal.append("begin", data)
    return len(begins) + 1, digest, why
