"""Which files does a config ask for, and what should each say of its making?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"


@dataclass(frozen=True)
class PlannedJob:
    """One job: its spec and the fingerprint of its code, what it reads and writes, and Snakemake's own job."""

    rule: str
    spec: str
    code: str
    inputs: list[str]
    outputs: list[str]
    beside: list[str]
    """Its log and its benchmark."""
    job: Any


@dataclass(frozen=True)
class Planned:
    """All jobs of all experiments, and Snakemake's workflow, which knows them."""

    jobs: list[PlannedJob]
    workflow: Any


@contextmanager
def planned(snakefile: Path = SNAKEFILE, configfiles: Sequence[Path] = ()) -> Iterator[Planned]:
    """Plan all experiments in the working folder as ``snakemake --dry-run --forceall`` does; nothing is run.

    Leaves by SystemExit, having told the mistakes, where the config is wrong.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        ResourceSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as snakemake:
        api = snakemake.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=tuple(configfiles)),
            snakefile=snakefile,
        )
        workflow = api._workflow
        names = set(workflow.globals["plan"].config.experiments)
        # What `profiles/default` says: inputs that are newer but equal are no reason.
        settings = DAGSettings(targets=names, forceall=True, max_checksum_file_size=10**12)
        api.dag(settings).execute_workflow(executor="dryrun", execution_settings=ExecutionSettings(lock=False))
        yield Planned([_planned(job) for job in workflow.dag.jobs if job.output], workflow)


def _planned(job: Any) -> PlannedJob:
    beside = [str(path) for path in (*job.log, *([job.benchmark] if job.benchmark else []))]
    inputs, outputs = sorted(set(map(str, job.input))), [str(path) for path in job.output]
    return PlannedJob(job.rule.name, job.params.spec, job.params.code, inputs, outputs, beside, job)
