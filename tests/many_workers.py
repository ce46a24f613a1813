"""Several workers on one store, as processes; print their tiles and the digest (run by test_work).

The workers are children of a process that has imported everything but computed nothing, so that they start
quickly and at the same moment, and no fork follows the start of JAX's threads.
"""

import json
import os
import sys
from pathlib import Path

from ensemble.pipeline import load_plan, run_plan, work_plan
from ensemble.store import Claims, open_store


def child(function, *arguments):
    """Run a function in a child; hand back its process and the pipe it answers through."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.write(writing, json.dumps(function(*arguments)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    return process, reading


def answer(process, reading):
    """What a child said."""
    _, status = os.waitpid(process, 0)
    if status:
        raise SystemExit("a worker failed")
    with os.fdopen(reading) as pipe:
        return json.loads(pipe.read())


def work(study, store, overrides, number):
    """A worker's life: tiles until none is left."""
    os.environ["SLURM_ARRAY_TASK_ID"] = str(number)
    return work_plan(load_plan(study, overrides, None, None), store, Claims(store), quiet=True)


def run(study, store, overrides):
    """A run of the same study on the same store; its digest."""
    run_plan(load_plan(study, overrides, None, None), store, quiet=True)
    return open_store(store).digest()


def main(study, folder, overrides, numbers):
    """A local run, then one store for each number of workers, then a run that finishes each store."""
    report = {"local": answer(*child(run, study, folder / "local.zarr", overrides)), "stores": {}}
    for number in numbers:
        store = folder / f"{number}.zarr"
        workers = [child(work, study, store, overrides, n) for n in range(number)]
        counts = [answer(*worker) for worker in workers]
        missing = len(open_store(store).missing_tiles("members"))
        digest = answer(*child(run, study, store, overrides))
        report["stores"][number] = {"counts": counts, "missing": missing, "digest": digest}
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
