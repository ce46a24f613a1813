"""A study on a SLURM queue: job scripts, submitting them, and following them from their files alone.

An array of workers shares the store; a dependent job fills gaps, reduces and reports. Every job leaves its
state in a small file, so that nobody has to ask the scheduler how far it is.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ensemble.config.execution import Slurm
from ensemble.errors import StoreRefused

# SLURM gives this many seconds' notice before the walltime ends; a worker needs a few.
NOTICE = 60
# A job that ran into its walltime goes back to the queue this many times.
REQUEUES = 20
SUBMITTED = "submitted.json"


@dataclass(frozen=True)
class Jobs:
    """The jobs of one store.

    Args:
        folder: where scripts, logs and states lie.
        name: name of the jobs.
        elements: elements of the array.
        work: command of an element.
        finish: command of the dependent job.
        setup: shell lines before either, from the command line and never from a study.
        memory: bytes that a job needs.
    """

    folder: Path
    name: str
    elements: int
    work: tuple[str, ...]
    finish: tuple[str, ...]
    setup: tuple[str, ...]
    memory: int

    def array_script(self, settings: Slurm) -> str:
        """The script of the array."""
        head = {"array": f"0-{self.elements - 1}", "output": self._log("work-%A_%a.log")}
        return self._script(settings, head, self.work, "work-${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}")

    def finish_script(self, settings: Slurm) -> str:
        """The script of the job that fills gaps, reduces and reports."""
        return self._script(settings, {"output": self._log("finish-%j.log")}, self.finish, "finish-${SLURM_JOB_ID}")

    def _log(self, name: str) -> str:
        """A log in the folder, whose own name means nothing to SLURM."""
        return f"{str(self.folder).replace('%', '%%')}/{name}"

    def _script(self, settings: Slurm, head: dict[str, Any], command: Sequence[str], state: str) -> str:
        megabytes = f"{-(-self.memory // 10**6)}M"
        options = {
            "job-name": self.name,
            **head,
            "time": settings.time,
            "cpus-per-task": settings.cpus,
            "mem": settings.memory or megabytes,
            "gpus": settings.gpus or None,
            **{key: getattr(settings, key) for key in ("partition", "account", "qos", "constraint")},
            "signal": f"B:USR1@{NOTICE}",
            "open-mode": "append",
        }
        lines = [
            "#!/bin/bash",
            *(f"#SBATCH --{key}={_directive(str(value))}" for key, value in options.items() if value is not None),
            "#SBATCH --requeue",
            *(f"module load {shlex.quote(module)}" for module in settings.modules),
            *(f"export {name}={shlex.quote(value)}" for name, value in settings.environment.items()),
            *self.setup,
            f'state() {{ echo "$1 $(date +%s) $(hostname)" > {shlex.quote(str(self.folder))}/{state}.state; }}',
            "state running",
            f"{shlex.join(command)} &",
            "child=$!",
            "again=no",
            "trap 'kill -TERM $child' TERM",
            "trap 'again=yes; kill -TERM $child' USR1  # the walltime is nearly over",
            # a signal ends wait before the child has ended
            "while kill -0 $child 2> /dev/null; do wait $child; code=$?; done",
            "if [ ${code:=0} -eq 0 ]; then state done",
            f"elif [ $again = yes ] && [ ${{SLURM_RESTART_COUNT:-0}} -lt {REQUEUES} ]; then",
            '  state pending; scontrol requeue "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}'
            '${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"',
            "elif [ $code -eq 3 ]; then state stopped",
            "else state failed; fi",
            "exit $code",
        ]
        return "\n".join(lines) + "\n"


def _directive(value: str) -> str:
    """A value as SLURM reads it from a script: in quotes where it has more than plain characters.

    Raises:
        StoreRefused: it has a line break, behind which anything would be a line of the script.
    """
    if not value.isprintable():
        raise StoreRefused(f"the name {value!r} cannot stand in a job script; allowed: names in one line")
    if re.fullmatch(r"[\w@%+=:,./-]*", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def submit(jobs: Jobs, settings: Slurm) -> tuple[str, str]:
    """Write the scripts and hand them to SLURM; returns the numbers of the array and of the dependent job.

    Raises:
        StoreRefused: SLURM is not there or refuses; jobs of an earlier submission, but for this one, are still queued.
    """
    note, here = read_note(jobs.folder), os.environ.get("SLURM_JOB_ID")
    if note and (queued := [number for number in _queued([note["array"], note["finish"]]) if number != here]):
        raise StoreRefused(f"jobs {', '.join(queued)} already work on this store; wait for them or scancel them first")
    jobs.folder.mkdir(parents=True, exist_ok=True)
    work, finish = jobs.folder / "work.sh", jobs.folder / "finish.sh"
    work.write_text(jobs.array_script(settings))
    finish.write_text(jobs.finish_script(settings))
    array = _slurm("sbatch", "--parsable", str(work)).partition(";")[0]
    last = _slurm("sbatch", "--parsable", f"--dependency=afterany:{array}", str(finish)).partition(";")[0]
    text = {"array": array, "finish": last, "elements": jobs.elements, "submitted": time.time()}
    (jobs.folder / SUBMITTED).write_text(json.dumps(text))
    return array, last


def _queued(numbers: Sequence[str]) -> list[str]:
    """Those of some jobs that are in the queue; a job that SLURM has forgotten is not."""
    found = _slurm("squeue", "--noheader", "--format=%F %i").split("\n")
    return sorted({number for number in numbers for line in found if number in line.split()})


def _slurm(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    except FileNotFoundError:
        raise StoreRefused(f"the command {command[0]} is not on this machine; submit where SLURM is") from None
    except subprocess.TimeoutExpired:
        raise StoreRefused(f"{command[0]} gave no answer in two minutes; try again when SLURM does") from None
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stderr.split())
        raise StoreRefused(f"{command[0]} refused the job: {why}") from None
    return done.stdout.strip()


def read_note(folder: Path) -> dict[str, Any] | None:
    """What was submitted; ``None`` where nothing was."""
    try:
        return json.loads((folder / SUBMITTED).read_text())
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class JobStatus:
    """How the jobs of a store are, from their files.

    Args:
        array, finish: numbers of the jobs.
        pending, running, done, failed, stopped: elements of the array in each state.
        reduction: state of the dependent job.
        last_line: the last line of the newest log.
    """

    array: str
    finish: str
    pending: int
    running: int
    done: int
    failed: int
    stopped: int
    reduction: str
    last_line: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Lines for people."""
        names = ("pending", "running", "done", "stopped", "failed")
        counts = ", ".join(f"{n} {name}" for name in names if (n := getattr(self, name)))
        lines = [f"array {self.array}: {counts}; job {self.finish} that reduces: {self.reduction}"]
        return [*lines, f"last log line: {self.last_line}"] if self.last_line else lines


def job_status(folder: Path) -> JobStatus | None:
    """The state of submitted jobs; ``None`` where nothing was submitted. Asks no scheduler."""
    note = read_note(folder)
    if note is None:
        return None
    states = [_state(folder / f"work-{note['array']}_{number}.state") for number in range(note["elements"])]
    counts = {name: states.count(name) for name in ("pending", "running", "done", "failed", "stopped")}
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    return JobStatus(
        note["array"],
        note["finish"],
        **counts,
        reduction=_state(folder / f"finish-{note['finish']}.state"),
        last_line=next((line for path in reversed(logs) if (line := _last_line(path))), ""),
    )


def _state(path: Path) -> str:
    try:
        word = path.read_text().split()[:1]
    except OSError:
        word = []
    return word[0] if word else "pending"


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = [line for line in re.split(r"[\r\n]+", file.read().decode(errors="replace")) if line.strip()]
    return lines[-1].strip() if lines else ""
