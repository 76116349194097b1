"""Draw which latents come back in how many runs of one experiment."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot_tracks(job):
    from homolog.figures.tracks import draw
    from homolog.store.figures import write_figures
    from homolog.store.track_table import write_track_table
    from homolog.store.tracks import read_tracks

    tracks = read_tracks(job.input.tracks)
    write_track_table(job.output.table, tracks)
    write_figures(job.output.pdf, draw(tracks), job.provenance())
