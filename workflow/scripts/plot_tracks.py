"""Draw which latents come back in how many runs of one experiment."""

from homolog.stage import stage


@stage(snakemake)
def plot_tracks(job):
    from homolog.figures.tracks import draw
    from homolog.store.figures import write_figures
    from homolog.store.tracks import read_tracks

    write_figures(job.output.pdf, draw(read_tracks(job.input.tracks)), job.provenance())
