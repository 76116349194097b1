"""How does Snakemake learn what files say of themselves, when it has lost its records of them or never had any?"""

from __future__ import annotations

from homolog.results.planned import Planned, PlannedJob
from homolog.results.verify import CURRENT, MISSING, Finding


def adopt(planned: Planned, findings: list[list[Finding]]) -> None:
    """Write Snakemake's record of every file that is there: as planned if it is current, else as of another making.

    So current files aren't built again, and the others are, which Snakemake would trust without a record.
    """
    for job, of_job in zip(planned.jobs, findings, strict=True):
        if any(finding.status != MISSING for finding in of_job):
            planned.workflow.async_run(_record(planned, job, of_job))


async def _record(planned: Planned, job: PlannedJob, findings: list[Finding]) -> None:
    records = planned.workflow.persistence
    await records.finished(job.job)
    wrong = next((finding for finding in findings if finding.status != CURRENT), None)
    if wrong is None:
        return
    # What it has read before writing.
    records.deactivate_cache()
    # A job's files are made together: one that isn't current is a reason to make all of them.
    for path in job.job.output:
        record = records.metadata(path)
        record.params = [f"{wrong.path} is {wrong.status}: {wrong.reason}"]
        records._write_record(records._get_key(path), record)
