"""Draw how the dictionaries of one experiment were trained, and what their grids trade."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot_training(job):
    from homolog.figures.training import draw
    from homolog.store.figures import write_figures
    from homolog.store.members import read_members

    members = read_members(job.input.dictionaries, job.spec["untrained"])
    write_figures(job.output.pdf, draw(members), job.provenance())
