"""Which files does a config ask for, and what should each say of its making?"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homolog.export.header import CARD
from homolog.planning import Plan, Run

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
    ended: bool = True
    """Whether Snakemake doesn't hold that it began and never ended."""


@dataclass(frozen=True)
class Planned:
    """All jobs of all experiments, and Snakemake's workflow, which knows them."""

    jobs: list[PlannedJob]
    workflow: Any


@contextmanager
def planned(snakefile: Path = SNAKEFILE, configfiles: Sequence[Path] = ()) -> Iterator[Planned]:
    """Plan all experiments, their atlases and the exports that are there, as ``snakemake --dry-run --forceall`` does.

    Nothing is run. Leaves by SystemExit, having told the mistakes, where that can't be done.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import WorkflowError
    from snakemake.settings import types
    from snakemake.settings.enums import Quietness

    # In this quietness it leaves when it has planned.
    quiet = {Quietness.RULES, Quietness.PROGRESS}
    output = types.OutputSettings(dryrun=True, quiet=quiet, log_level_override=logging.ERROR)
    with SnakemakeApi(output) as snakemake:
        try:
            api = snakemake.workflow(
                resource_settings=types.ResourceSettings(cores=1),
                config_settings=types.ConfigSettings(configfiles=tuple(configfiles)),
                snakefile=snakefile,
            )
            workflow = api._workflow
            plan = workflow.globals["plan"]
            atlas = workflow.globals["rules"].atlas.output.index
            atlases = [
                atlas.format(experiment=name) for name in plan.config.experiments if plan.experiment(name).has_tracks
            ]
            names = {*plan.config.experiments, *atlases, *exported(plan)}
            profile = yaml.safe_load((snakefile.parent / "profiles" / "default" / "config.yaml").read_text())
            # Up to this size `adopt` records what inputs held, so that newer but equal ones are no reason.
            largest = profile["max-checksum-file-size"]
            settings = types.DAGSettings(targets=names, forceall=True, max_checksum_file_size=largest)
            execution = types.ExecutionSettings(lock=False, ignore_incomplete=True)
            api.dag(settings).execute_workflow(executor="dryrun", execution_settings=execution)
            begun = workflow.async_run(_begun(workflow))
        except WorkflowError as error:
            snakemake.print_exception(error)
            raise SystemExit(1) from None
        yield Planned([_planned(job, begun) for job in workflow.dag.jobs if job.output], workflow)


def exported(plan: Plan, results: Path = Path("results")) -> list[str]:
    """What was exported, by path, as far as it is of the present experiments: nothing else asks for it."""
    folder, found = results / "export", []
    for path in sorted([*folder.glob(f"*/*/seed_*/*/*/{CARD}"), *folder.glob("*/tracks.*")]):
        experiment, *rest = path.relative_to(folder).parts
        of_tracks = len(rest) == 1
        try:
            if of_tracks:
                known = path.suffix in (".csv", ".parquet") and plan.experiment(experiment).has_tracks
            else:
                model, seed, hook_point, decomposition, _ = rest
                job = {"experiment": experiment, "hook_point": hook_point, "decomposition": decomposition}
                known = bool(plan.spec("export", **job, run=Run(model, int(seed.removeprefix("seed_")))))
        except (ValueError, KeyError):
            continue
        found += [str(path)] if known else []
    return found


async def _begun(workflow: Any) -> set[str]:
    """Files of jobs that Snakemake saw begin and not end."""
    return {str(path) for job in workflow.dag.jobs for path in await workflow.persistence.incomplete(job)}


def _planned(job: Any, begun: set[str]) -> PlannedJob:
    beside = [str(path) for path in (*job.log, *([job.benchmark] if job.benchmark else []))]
    inputs, outputs = sorted(set(map(str, job.input))), [str(path) for path in job.output]
    ended = not begun.intersection(outputs)
    return PlannedJob(job.rule.name, job.params.spec, job.params.code, inputs, outputs, beside, job, ended)
