"""Draw how the runs of one experiment and their dictionaries were trained, and what the grids trade."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot_training(job):
    from homolog.figures.curves import draw_runs
    from homolog.figures.training import draw
    from homolog.store.curves import read_runs_curves
    from homolog.store.figures import write_figures
    from homolog.store.members import read_members

    members = read_members(job.input.dictionaries, job.spec["untrained"])
    figures = [*draw_runs(read_runs_curves(job.input.curves)), *draw(members)]
    write_figures(job.output.pdf, figures, job.provenance())
