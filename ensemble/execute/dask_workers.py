"""Workers of a Dask cluster: each runs a worker's loop over the tiles that are left.

Dask only starts the loops and restarts those of a worker that was killed. Which tile is whose is settled by the
claims beside the store, so it does not matter how often or where a loop runs.
"""

from __future__ import annotations

import os
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble.config.execution import Dask, Slurm
from ensemble.errors import Stopped, StoreRefused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Where Dask's page of its state listens: it is neither encrypted nor asked for, but cannot be left out.
PAGE = "127.0.0.1:0"
# Seconds between two looks at the ledger.
LOOK_EVERY = 1.0
# Seconds to wait for a scheduler, and for its first worker.
CONNECT = 60


@dataclass(frozen=True)
class Queue:
    """What Dask workers ask a queue for.

    Args:
        slurm: the study's settings.
        memory: bytes that a worker needs, where they do not say.
        folder: logs, and while the cluster runs its certificates; all workers must see it.
    """

    slurm: Slurm
    memory: int
    folder: Path


def run_on_dask(
    task: Callable[[str], int],
    argument: str,
    most: int,
    finished: Callable[[], int],
    advance: Callable[[int], None],
    settings: Dask,
    queue: Queue | None = None,
) -> None:
    """Run a task on every worker of a cluster until all are done.

    Args:
        task: a worker's loop, importable on the workers.
        argument: what it is given.
        most: loops that are of use.
        finished: pieces of work that are finished, by anybody.
        advance: told how many more were finished.
        settings: the cluster.
        queue: what its workers ask a queue for, where ``settings`` name one.

    Raises:
        Stopped: nothing was finished for ``settings.stall`` seconds, or a task killed its workers again and again.
        StoreRefused: the cluster cannot be reached, or must not be used without encryption.
        Exception: whatever a task raised.
    """
    from distributed import KilledWorker

    with _client(settings, queue, most) as (client, number):
        name = uuid.uuid4().hex
        futures = [client.submit(task, argument, key=f"tiles-{name}-{i}", pure=False) for i in range(number)]
        done, since = finished(), time.monotonic()
        while not all(future.done() for future in futures):
            time.sleep(LOOK_EVERY)
            if (now := finished()) != done:
                advance(now - done)
                done, since = now, time.monotonic()
            if time.monotonic() - since > settings.stall:
                workers = len(client.scheduler_info(n_workers=-1)["workers"])
                client.cancel(futures, force=True)
                raise Stopped(
                    f"the Dask cluster finished no tile in {settings.stall:g} s ({workers} workers are connected); "
                    "finished tiles are kept, look at the workers' logs and run the same command to go on"
                )
            _raise_first(futures, KilledWorker)
        _raise_first(futures, KilledWorker)
        advance(finished() - done)


def _raise_first(futures: list[Any], killed: type[BaseException]) -> None:
    for future in futures:
        if future.status == "error":
            try:
                future.result()
            except killed:
                raise Stopped(
                    "workers of the Dask cluster were killed again and again, most often for their memory; "
                    "finished tiles are kept, give them more memory and run the same command to go on"
                ) from None


@contextmanager
def _client(settings: Dask, queue: Queue | None, most: int) -> Iterator[tuple[Any, int]]:
    """A client of the cluster that is asked for, and how many loops to give it."""
    if settings.scheduler is not None:
        with _given(settings.scheduler) as client:
            yield client, min(most, settings.workers or len(client.scheduler_info(n_workers=-1)["workers"]))
        return
    from distributed import Client

    waits = queue if settings.queue is not None else None
    number = min(settings.workers or (os.cpu_count() or 1 if waits is None else waits.slurm.jobs), most)
    with _here(number) if waits is None else _queued(waits, number) as cluster, Client(cluster) as client:
        client.wait_for_workers(1)  # a queue may be long
        yield client, number


def _here(number: int) -> Any:
    """A cluster of spawned processes that listens on loopback only."""
    from distributed import LocalCluster

    options = {"n_workers": number, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    page = {"dashboard": False, "dashboard_address": PAGE}
    return LocalCluster(host="127.0.0.1", memory_limit=0, silence_logs=40, scheduler_kwargs=page, **options)


@contextmanager
def _queued(queue: Queue, number: int) -> Iterator[Any]:
    """Workers that are jobs of a queue. They are on other machines, so everything is encrypted and authenticated.

    The certificates are made for this run, lie in files that only this user can read, and go with the cluster.
    """
    slurm = queue.slurm
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise StoreRefused("workers on a queue need the package dask-jobqueue; install soc-ensemble[slurm]") from None
    from distributed.security import Security

    given = {"partition": slurm.partition, "qos": slurm.qos, "constraint": slurm.constraint}
    given |= {"gpus": slurm.gpus or None}
    prologue = [f"module load {shlex.quote(module)}" for module in slurm.modules]
    prologue += [f"export {name}={shlex.quote(value)}" for name, value in slurm.environment.items()]
    queue.folder.mkdir(parents=True, exist_ok=True)
    folder = str(queue.folder)
    with SLURMCluster(
        account=slurm.account,
        cores=slurm.cpus,
        processes=1,
        memory=f"{slurm.memory}iB" if slurm.memory else f"{queue.memory}B",
        walltime=slurm.time,
        job_extra_directives=[f"--{key}={value}" for key, value in given.items() if value is not None],
        job_script_prologue=prologue,
        log_directory=folder,
        local_directory=folder,
        shared_temp_directory=folder,
        security=Security.temporary(),
        protocol="tls://",
        n_workers=number,
        scheduler_options={"dashboard": False, "dashboard_address": PAGE},
        worker_extra_args=["--no-dashboard", "--dashboard-address", PAGE],
    ) as cluster:
        yield cluster


@contextmanager
def _given(address: str) -> Iterator[Any]:
    """A client of a scheduler that runs, and has a worker."""
    from distributed import Client
    from distributed.security import Security

    _refuse_open_network(address)
    security = Security()
    if address.startswith("tls://") and security.get_connection_args("client").get("ssl_context") is None:
        raise StoreRefused(
            f"the Dask scheduler {address} needs certificates; name their files in the variables "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..._TLS__CLIENT__CERT and ..._TLS__CLIENT__KEY"
        )
    try:
        client = Client(address, timeout=CONNECT, security=security)
        client.wait_for_workers(1, timeout=CONNECT)
    except (OSError, TimeoutError) as error:
        raise StoreRefused(f"the Dask scheduler {address} has no worker for us: {error}") from None
    with client:
        yield client


def _refuse_open_network(address: str) -> None:
    """Dask runs whatever it is sent, so an address beyond this machine must be encrypted and authenticated."""
    scheme, _, rest = address.partition("://")
    if scheme != "tls" and rest.rpartition(":")[0] not in LOOPBACK:
        raise StoreRefused(
            f"the Dask scheduler {address} is beyond this machine and not encrypted; start it with TLS and use tls://"
        )
