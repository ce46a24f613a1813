"""Run a study again and again, killing it at random moments; print what was left each time (run by test_resume).

The study is run in children of a process that has imported everything but computed nothing, so that a
child starts quickly and no fork follows the start of JAX's threads.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from ensemble.pipeline import load_plan, run_plan
from ensemble.store import open_store


def run(study, store, overrides, kill_after=None):
    """One child; True if it finished before it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run_plan(load_plan(study, overrides, None, None), store, quiet=True)
            code = 0
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise SystemExit("a run failed")
    return os.WIFEXITED(status)


def finished(store):
    """Finished tiles with the time they were finished."""
    if not store.is_dir():
        return {}
    return {tile: entry.time for tile, entry in open_store(store).entries("members").items()}


def main(study, folder, overrides, kills, seed):
    """Kill ``kills`` runs, on one store until it is finished, then on the next; every store is finished in the end."""
    chance = random.Random(seed)
    started = time.monotonic()
    run(study, folder / "whole.zarr", overrides)
    duration = time.monotonic() - started
    report = {"digest": open_store(folder / "whole.zarr").digest(), "stores": []}
    while kills > 0:
        store, left, lost, killed, kept = folder / f"killed_{len(report['stores'])}.zarr", {}, 0, 0, 0
        done = False
        while not done:
            wait = chance.uniform(0.05, 0.9) * duration if killed < kills else None
            done = run(study, store, overrides, wait)
            killed += not done
            now = finished(store)
            lost += sum(now.get(tile) != when for tile, when in left.items())
            kept, left = (kept if done else len(now)), now
        kills -= killed
        report["stores"].append({"digest": open_store(store).digest(), "killed": killed, "lost": lost, "kept": kept})
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), *map(int, sys.argv[4:6]))
