"""Make the atlas of one experiment: a static site of the features that came back, and of those that didn't."""

from homolog.jobs.stage import stage


@stage(snakemake)
def atlas(job):
    from pathlib import Path

    from homolog.atlas.build import build
    from homolog.atlas.reading import read_source
    from homolog.store.tracks import read_tracks

    folder, tracks, source = Path(job.output.index).parent, read_tracks(job.input.tracks), read_source(job.spec)
    build(folder, job.spec, tracks, job.input.activations, source, job.provenance(), job.progress)
