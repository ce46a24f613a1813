"""`ensemble update`: take in what is new, once, and look ahead from there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from ensemble.config.calibration import Calibrate
from ensemble.config.twin import Twin as Settings
from ensemble.errors import Damaged, InputError, StoreRefused
from ensemble.execute.progress import progress
from ensemble.inference.assimilation.engine import Belief, Engine, Forecast, make_engine
from ensemble.inference.calibration.problem import bind_rows
from ensemble.inputs.calendar import instant
from ensemble.inputs.observations import below_detection, observations_of, read_measurements
from ensemble.pipeline.assessing import results_at
from ensemble.pipeline.twin_lines import state_lines, twin_lines
from ensemble.pipeline.twin_step import step_record
from ensemble.pipeline.twin_study import is_new, line_for, plan_of_twin, rules_of, settings_of
from ensemble.plan import Plan
from ensemble.provenance import file_checksum
from ensemble.report.twin import twin_page
from ensemble.store.files import write_file
from ensemble.store.lock import WriterLock
from ensemble.store.place import Place, local_folder
from ensemble.twin.archive import save, table_arrays
from ensemble.twin.criteria import register_criteria
from ensemble.twin.journal import Entry, Journal, journal_folder
from ensemble.twin.ledger import WITHDRAWN, Received, Row, cumulative_digests, receive, status_of, table_of
from ensemble.twin.twin import Twin, open_twin

ROW_COLUMNS = ("scenario", "site", "variable", "time")


@dataclass(frozen=True)
class UpdateResult:
    """What an update did.

    Args:
        folder, report: of the twin.
        lines: what it says, one sentence a line.
        refused: files that were refused, with the reason; all others were taken in.
    """

    folder: Path
    report: Path
    lines: tuple[str, ...]
    refused: tuple[str, ...]


def update_twin(
    store: Place,
    tables: Sequence[Path] = (),
    inbox: Path | None = None,
    study: Path | None = None,
    overrides: Sequence[str] = (),
    quiet: bool = False,
) -> UpdateResult:
    """Take in measurements and archive a forecast after every date.

    Args:
        store: store that the twin stands beside; it need not exist where ``study`` is given.
        tables: files of measurements; each is refused or taken in as a whole.
        inbox: folder whose ``.csv`` and ``.nc`` files are taken in, each once; a wrong one does not stop the others.
        study: study file, to begin a twin or to change what it follows.
        overrides: ``key=value`` texts for the study.
        quiet: show no progress.

    Raises:
        InputError: the study or a table is wrong; nothing of that table is taken in.
        StoreRefused: another update runs, the clock runs backwards, or there is nothing to follow.
        Damaged: the journal or a snapshot is not what was written.
    """
    folder = journal_folder(store)
    with WriterLock(folder):
        journal = Journal(folder)
        journal.sweep()
        journal.check_clock()
        plan = plan_of_twin(store, journal, study, overrides)
        calibrate, settings = settings_of(plan)
        if is_new(journal, plan):
            _refuse_unfit(plan, journal, plan.study.document.file, Twin(folder, tuple(journal.entries)).rows)
        notes, refused = _take_in(plan, journal, _sources(plan, tables), inbox)
        register_criteria(journal, plan.study.record.criteria, results_at(store, journal))
        line, digest, why = line_for(journal, plan)
        if why is not None and line > 1:
            notes.append(f"line {line} begins, and every measurement is taken in anew: {why}")
        with jax.enable_x64(True):
            notes += _absorb(plan, journal, line, digest, calibrate, settings, quiet)
        twin = Twin(folder, tuple(journal.entries))
        report = local_folder(store, ".twin.html")
        write_file(report, twin_page(twin, plan, settings).encode())
        lines = (*notes, *twin_lines(twin, settings))
    return UpdateResult(folder, report, lines, tuple(refused))


def _sources(plan: Plan, tables: Sequence[Path]) -> list[Path]:
    """The study's own table first, then those given."""
    own = rules_of(plan).file
    return [*([plan.study.path(own)] if own else []), *tables]


def _take_in(plan: Plan, journal: Journal, tables: Sequence[Path], inbox: Path | None) -> tuple[list[str], list[str]]:
    """Log what tables bring; what is wrong in a given table is raised, in the inbox it is collected."""
    notes, refused = [], []
    for file in tables:
        notes += _one_table(plan, journal, file)
    for file in _arrived(inbox) if inbox is not None else ():
        if _half_written(file):
            notes.append(f"{file}: its last line has no end and it is less than a minute old; left for the next update")
            continue
        try:
            notes += _one_table(plan, journal, file)
        except InputError as error:
            refused.append(str(error))
    return notes, refused


def _arrived(inbox: Path) -> list[Path]:
    if not inbox.is_dir():
        raise StoreRefused(f"{inbox} is no folder")
    return sorted(f for f in inbox.iterdir() if f.suffix in (".csv", ".nc") and not f.name.startswith("."))


def _half_written(file: Path) -> bool:
    young = time.time() - file.stat().st_mtime < 60.0
    return file.suffix == ".csv" and young and not file.read_bytes().endswith(b"\n")


def _one_table(plan: Plan, journal: Journal, file: Path) -> list[str]:
    if not file.is_file():
        raise InputError("the file does not exist", file)
    digest = file_checksum(file)
    entries = journal.of_kind("received")
    if any(entry.data["file_digest"] == digest for entry in entries):
        return []
    table = read_measurements(file)
    status = status_of(table)
    kept = np.array([row for row, what in enumerate(status) if what != WITHDRAWN], int)
    rows = pd.DataFrame()
    if len(kept):
        study = replace(plan.study, record=plan.study.record.model_copy(update={"observations": rules_of(plan)}))
        outputs = {spec.name: spec for spec in plan.bound.model.outputs}
        calendar, steps = plan.base.calendar, plan.steps_per_record
        if calendar is None:
            raise plan.study.error(("model",), f"{plan.bound.model.name} has no time axis; a twin follows time")
        part = table.rows(kept)
        rows = observations_of(study, part, outputs, plan.scenarios, plan.sites, calendar, steps, repeats=True)
        ahead = np.flatnonzero(rows["time"].to_numpy(float) > _this_year() + 1.0)
        if len(ahead) and calendar.first // calendar.axis.per_year > 1000:
            raise part.error(int(ahead[0]), "time", f"{part.text('time')[ahead[0]]} lies in the future")
    known = Twin(journal.folder, tuple(journal.entries)).rows
    found = receive(known, table, rows)
    _refuse_unfit(plan, journal, file, {**known, **found.new, **found.revised})
    journal.append("received", {"source": str(file), "file_digest": digest, **found.as_dict()})
    return [_brought(file, found, table.columns)]


def _refuse_unfit(plan: Plan, journal: Journal, file: Path, rows: Mapping[str, Row]) -> None:
    """Refuse what no update could take in, before it is logged; of a study that is new, all of it is tried.

    Raises:
        InputError: a row lies below a detection limit, or does not fit the model or the errors of the study.
    """
    table = table_of(rows)
    if table.empty:
        return
    calibrate, settings = settings_of(plan)
    if below_detection(table).any():
        text = (
            "below_detection: a twin takes values only; `ensemble calibrate` takes values below a detection limit too"
        )
        raise InputError(text, file)
    every = table.drop(columns="id")
    try:
        with jax.enable_x64(True):
            if is_new(journal, plan):
                make_engine(plan, every, calibrate, settings, plan.seed)
            else:
                bind_rows(replace(plan, observations=every), calibrate.model_copy(update={"hold_out": {}}))
    except ValueError as error:
        raise InputError(f"with these measurements the study cannot be followed: {error}", file) from None


def _this_year() -> float:
    now = np.datetime64("now", "D")
    return 1970.0 + float((now - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")) / 365.2425


def _brought(file: Path, found: Received, columns: object) -> str:
    parts = [(len(found.new), "new"), (len(found.revised), "revised"), (len(found.withdrawn), "withdrawn")]
    parts.append((len(found.duplicates), "known already"))
    said = ", ".join(f"{count} {what}" for count, what in parts if count) or "nothing"
    return f"{file}: {said}"


def _absorb(
    plan: Plan, journal: Journal, line: int, digest: str, calibrate: Calibrate, settings: Settings, quiet: bool
) -> list[str]:
    """Take in every date whose knowledge has no snapshot; the last good snapshot before it is where it starts."""
    twin = Twin(journal.folder, tuple(journal.entries))
    rows = table_of(twin.rows)
    if rows.empty:
        return ["no measurement has been taken in"]
    digests, have = cumulative_digests(digest, rows), twin.by_digest(line)
    first = next((k for k, (_, name) in enumerate(digests) if name not in have), len(digests))
    if first == len(digests):
        return [_reached(journal, line, have[digests[-1][1]])]
    wanted, first = first, _last_good(twin, [have[name] for _, name in digests[:first]])
    notes = []
    if later := [e for e in twin.steps(line) if e.data["date"] >= digests[first][0] - 1e-9]:
        start, until = digests[first - 1][0] if first else None, later[-1].data["date"]
        journal.append("replay", {"line": line, "from": start, "until": until})
        why = f"measurements up to {instant(until)} came late or changed"
        if first < wanted:
            why = f"the snapshot of {instant(digests[wanted - 1][0])} is damaged"
        notes.append(f"replayed from {'the prior' if start is None else instant(start)}: {why}")
    try:
        engine = make_engine(plan, rows.drop(columns="id"), calibrate, settings, plan.seed)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(str(error)) from None
    belief = _resume(engine, twin, first, digests, have)
    forecast = engine.forecast(belief, first - 1)
    with progress(plan.study.name, len(digests), first, "dates", quiet) as advance:
        for date in range(first, len(digests)):
            before, ahead = belief, forecast
            belief, done = engine.absorb(belief, date)
            forecast = engine.forecast(belief, date)
            when, name = digests[date]
            sums = {"snapshot": _keep_belief(journal.folder, name, belief, when)}
            if date >= wanted:  # before that, a snapshot is made again and the step stands, its forecast as it was made
                record = step_record(engine, rows, date, before, belief, ahead, forecast, done)
                sums["forecast"] = _keep_forecast(journal.folder, name, forecast, when)
                journal.append("step", {"line": line, "date": when, "digest": name, **sums, **record})
            advance(1)
    return notes


def _last_good(twin: Twin, steps: Sequence[Entry]) -> int:
    """How many of these steps come before the first to be taken in anew: snapshots that are damaged are made again."""
    good = len(steps)
    while good:
        try:
            twin.snapshot(steps[good - 1])
            break
        except Damaged:
            good -= 1
    return good


def _reached(journal: Journal, line: int, entry: Entry) -> str:
    """Note where the line stands if that is not the last step (measurements were taken back)."""
    steps = [e for e in journal.of_kind("step") if e.data["line"] == line]
    if steps[-1].number != entry.number:
        data = {key: value for key, value in entry.data.items() if key != "scores"}
        journal.append("step", {**data, "scores": []})
        return f"back to what was known at {instant(entry.data['date'])}, step {entry.number}: measurements were taken back"
    return "nothing new: every measurement has been taken in"


def _resume(engine: Engine, twin: Twin, first: int, digests: list[tuple[float, str]], have: dict[str, Entry]) -> Belief:
    """What was known before the first date to be taken in."""
    if first == 0:
        return engine.begin()
    if engine.settings.method == "enkf":  # its state belongs to the rows it was made with: run again
        belief = engine.begin()
        for date in range(first):
            belief, _ = engine.absorb(belief, date)
        return belief
    arrays, notes = twin.snapshot(have[digests[first - 1][1]])
    belief = Belief(tuple(notes["names"]), arrays["scores"], arrays["log_weights"], arrays["state"])
    return engine.fitted_to(belief)


def _keep_belief(folder: Path, name: str, belief: Belief, date: float) -> str:
    """Write the snapshot of a date; the journal's entry makes it count."""
    arrays = {"scores": belief.scores, "log_weights": belief.log_weights, "state": belief.state}
    return save(folder, "snapshots", name, arrays, {"names": list(belief.names), "date": date})


def _keep_forecast(folder: Path, name: str, forecast: Forecast, date: float) -> str:
    """Write the forecast of a date; the journal's entry makes it count."""
    grid = np.flatnonzero(forecast.rows["of_grid"].to_numpy(bool))
    layers = forecast.layers[:, :, grid].astype(np.float32)
    rows = table_arrays(forecast.rows.iloc[grid], ROW_COLUMNS)
    return save(folder, "forecasts", name, {"layers": layers, "measured": layers[3], **rows}, {"date": date})


def show_step(store: Place, number: int) -> list[str]:
    """What was known at a step of the journal, from the files alone: any past state can be opened.

    Raises:
        InputError: the entry is no step.
    """
    twin = open_twin(journal_folder(store))
    try:
        step = twin.step(number)
    except KeyError:
        steps = ", ".join(str(e.number) for e in twin.entries if e.kind == "step") or "none"
        raise InputError(f"--at {number} is no step of {twin.folder}; steps: {steps}") from None
    arrays, _ = twin.snapshot(step)
    twin.forecast(step)
    lines = [
        f"line {step.data['line']}, step {number}: known at {instant(step.data['date'])}, "
        f"{len(arrays['scores'])} particles, snapshot intact",
        *state_lines(step),
    ]
    for p in step.data["parameters"]:
        value = f"{p['mean']:.4g} +- {p['sd']:.2g}" if "mean" in p else f"score {p['score']:+.2f}"
        lines.append(f"  {p['name']}: {value}, {100 * p['contraction']:.0f} % of the prior variance removed")
    return lines
