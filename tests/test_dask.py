"""A Dask cluster computes the tiles: same bytes, workers that die, a cluster that stalls."""

import os
import signal
import time
from pathlib import Path

import dask
import psutil
import pytest
from toy_models import compiled_once, write_toy

from ensemble.config.execution import Dask
from ensemble.errors import Stopped, StoreRefused
from ensemble.execute.dask_workers import PAGE, _here, run_on_dask
from ensemble.pipeline import load_plan, run_plan
from ensemble.store import open_store

OVERRIDES = ["store.tile.members=16", "design.members=256"]


@pytest.fixture
def importable(monkeypatch, tmp_path):
    """Spawned workers find the toy models, and compile each program once."""
    for name, value in compiled_once(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def die_once(argument):
    """Kill its own process the first time."""
    folder = Path(argument)
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "done").touch()
    return 1


def sleep_long(argument):
    time.sleep(float(argument))
    return 0


def test_a_cluster_of_its_own_ends_with_the_bytes_of_a_local_run(tmp_path, importable):
    study = write_toy(tmp_path)
    dask = [*OVERRIDES, "execution.backend=dask", "execution.dask.workers=2"]
    run_plan(load_plan(study, dask, None, None), tmp_path / "dask.zarr", quiet=True)
    run_plan(load_plan(study, OVERRIDES, None, None), tmp_path / "local.zarr", quiet=True)
    assert open_store(tmp_path / "dask.zarr").digest() == open_store(tmp_path / "local.zarr").digest()


def test_a_killed_worker_is_replaced_and_a_stalled_cluster_ends_with_a_message(tmp_path, importable):
    run_on_dask(die_once, str(tmp_path), 1, lambda: 0, lambda n: None, Dask(workers=1))
    assert (tmp_path / "done").exists()
    with pytest.raises(Stopped, match=r"finished no tile in 1 s \(1 workers are connected\)"):
        run_on_dask(sleep_long, "20", 1, lambda: 0, lambda n: None, Dask(workers=1, stall=1.0))


def test_a_scheduler_with_tls_is_used_with_certificates_and_refused_without(tmp_path, importable):
    from distributed import LocalCluster
    from distributed.security import Security

    security = Security.temporary()
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 40,
               "scheduler_kwargs": {"dashboard": False, "dashboard_address": PAGE}}  # fmt: skip
    with LocalCluster(host="tls://127.0.0.1", protocol="tls://", security=security, **options) as cluster:
        settings = Dask(scheduler=cluster.scheduler_address)
        with pytest.raises(StoreRefused, match=r"needs certificates; .* DASK_DISTRIBUTED__COMM__TLS__CA_FILE"):
            run_on_dask(die_once, str(tmp_path), 1, lambda: 0, lambda n: None, settings)
        config = {}
        for name, text in (("ca-file", security.tls_ca_file), ("client.cert", security.tls_client_cert),
                           ("client.key", security.tls_client_key)):  # fmt: skip
            (tmp_path / name).write_text(text)
            config[f"distributed.comm.tls.{name}"] = str(tmp_path / name)
        (tmp_path / "died").touch()  # the worker may live
        with dask.config.set(config):
            run_on_dask(die_once, str(tmp_path), 1, lambda: 0, lambda n: None, settings)
    assert (tmp_path / "done").exists()


def test_nothing_listens_beyond_loopback_and_clusters_of_one_machine_do_not_collide():
    with _here(1), _here(0):
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        sockets = [socket for process in processes for socket in process.net_connections("tcp")]
        listening = {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_an_open_network_is_refused():
    with pytest.raises(StoreRefused, match="not encrypted; start it with TLS"):
        run_on_dask(sleep_long, "0", 1, lambda: 0, lambda n: None, Dask(scheduler="tcp://10.0.0.7:8786"))
