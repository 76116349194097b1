"""Make the atlas of one experiment: a static site of the features that came back, and of those that didn't."""

from homolog.stage import stage


@stage(snakemake)
def atlas(job):
    from pathlib import Path

    from homolog.atlas.build import build
    from homolog.store.tracks import read_tracks

    folder, tracks = Path(job.output.index).parent, read_tracks(job.input.tracks)
    build(folder, job.spec, tracks, job.input.activations, job.provenance(), job.progress)
