"""Workers of a Dask cluster: each runs a worker's loop over the tiles that are left.

Dask only starts the loops and restarts those of a worker that was killed. Which tile is whose is settled by the
claims beside the store, so it does not matter how often or where a loop runs.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ensemble.config.execution import Dask
from ensemble.errors import Stopped, StoreRefused

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Seconds between two looks at the ledger.
LOOK_EVERY = 1.0
# Seconds to wait for a scheduler, and for its first worker.
CONNECT = 60


def run_on_dask(
    task: Callable[[str], int],
    argument: str,
    most: int,
    finished: Callable[[], int],
    advance: Callable[[int], None],
    settings: Dask,
) -> None:
    """Run a task on every worker of a cluster until all are done.

    Args:
        task: a worker's loop, importable on the workers.
        argument: what it is given.
        most: loops that are of use.
        finished: pieces of work that are finished, by anybody.
        advance: told how many more were finished.
        settings: the cluster.

    Raises:
        Stopped: nothing was finished for ``settings.stall`` seconds, or a task killed its workers again and again.
        StoreRefused: the cluster cannot be reached, or must not be used without encryption.
        Exception: whatever a task raised.
    """
    from distributed import KilledWorker

    with _client(settings, most) as client:
        number = min(most, settings.workers or len(client.scheduler_info(n_workers=-1)["workers"]))
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
def _client(settings: Dask, most: int) -> Iterator[Any]:
    """A client of the given scheduler, or of a cluster of spawned processes that listens on loopback only."""
    from distributed import Client, LocalCluster

    if settings.scheduler is None:
        number = min(settings.workers or os.cpu_count() or 1, most)
        options = {"n_workers": number, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
        with (
            LocalCluster(host="127.0.0.1", memory_limit=0, silence_logs=40, **options) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    _refuse_open_network(settings.scheduler)
    try:
        client = Client(settings.scheduler, timeout=CONNECT)
        client.wait_for_workers(1, timeout=CONNECT)
    except (OSError, TimeoutError) as error:
        raise StoreRefused(f"the Dask scheduler {settings.scheduler} has no worker for us: {error}") from None
    with client:
        yield client


def _refuse_open_network(address: str) -> None:
    """Dask runs whatever it is sent, so an address beyond this machine must be encrypted and authenticated."""
    scheme, _, rest = address.partition("://")
    if scheme != "tls" and rest.rpartition(":")[0] not in LOOPBACK:
        raise StoreRefused(
            f"the Dask scheduler {address} is beyond this machine and not encrypted; start it with TLS and use tls://"
        )
