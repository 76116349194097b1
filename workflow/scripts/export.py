"""Export one decomposition of one run: for sae-lens, with a table of its latents and a card that says which return."""

from homolog.jobs.stage import stage


@stage(snakemake)
def export(job):
    from pathlib import Path

    from homolog.export.folder import export_dictionaries

    files = job.input.dictionaries, job.input.activations, job.input.data, job.input.tracks
    export_dictionaries(Path(job.output.card).parent, job.spec, *files, job.provenance())
