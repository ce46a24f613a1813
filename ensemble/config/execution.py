"""How a run is carried out: who computes its tiles, and where. None of it changes a number, and none is code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ensemble.config.record import Record

# What a queue calls its own things: nothing that a shell would read as more than a word.
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:+/@=&|*\[\]-]*$")]
# Variables that tune the numerical libraries; others could make a job run another program.
Variable = Annotated[str, Field(pattern=r"^(JAX|XLA|CUDA|NCCL|OMP|OPENBLAS|MKL|TF)_[A-Z0-9_]+$")]
Line = Annotated[str, Field(pattern=r"^[ -~]*$")]


class Slurm(Record):
    """What `ensemble submit` asks the queue for; the array's elements are alike."""

    jobs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=8, description="elements of the array; never more than tiles"
    )
    time: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$")] = Field(
        default="01:00:00", description="walltime of an element, hours:minutes:seconds; it is requeued at the end"
    )
    cpus: Annotated[int, Field(ge=1)] = Field(default=2, description="cores of an element")
    memory: Annotated[str, Field(pattern=r"^\d+[KMGT]$")] | None = Field(
        default=None, description="memory of an element, such as 8G (default: the plan's estimate)"
    )
    gpus: Annotated[int, Field(ge=0)] = Field(default=0, description="GPUs of an element")
    partition: Word | None = Field(default=None, description="partition")
    account: Word | None = Field(default=None, description="account")
    qos: Word | None = Field(default=None, description="quality of service")
    constraint: Word | None = Field(
        default=None, description="feature that nodes must have; one kind of processor keeps the platform the same"
    )
    modules: list[Word] = Field(default=[], description="modules to load")
    environment: dict[Variable, Line] = Field(
        default={}, description="variables for JAX, XLA, CUDA and the BLAS libraries"
    )


class Dask(Record):
    """The Dask cluster of `backend: dask`."""

    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls)://[A-Za-z0-9._\[\]:-]+$")] | None = Field(
        default=None,
        description="address of a cluster that runs; beyond this machine only tls:// (default: a cluster of its own, here)",
    )
    queue: Literal["slurm"] | None = Field(
        default=None, description="start the workers as jobs that ask for what execution.slurm says, over TLS"
    )
    workers: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="worker processes (default: one a core here, all those of a given scheduler, execution.slurm.jobs)",
    )
    stall: Annotated[float, Field(gt=0)] = Field(
        default=600.0, description="seconds without a finished tile after which the run stops"
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Dask:
        if self.scheduler is not None and self.queue is not None:
            raise ValueError("give a scheduler that runs or a queue that starts workers, not both")
        return self


class Execution(Record):
    """How the run is carried out; never changes a number."""

    max_failed: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="share of failed members that stops the run"
    )
    devices: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="devices to use (default: all of this machine)"
    )
    take_over: Annotated[float, Field(gt=0)] = Field(
        default=120.0, description="seconds after which a worker may compute a tile that another one claimed"
    )
    backend: Literal["local", "dask"] = Field(
        default="local", description="who computes the tiles of `ensemble run`: this process, or a Dask cluster"
    )
    dask: Dask = Field(default=Dask(), description="the Dask cluster")
    slurm: Slurm = Field(default=Slurm(), description="the queue that `ensemble submit` uses")
