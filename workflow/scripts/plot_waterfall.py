"""Draw what explains the similarities of one experiment, null by null, and what is left."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot_waterfall(job):
    from homolog.figures import waterfall
    from homolog.figures.report import drawn
    from homolog.store.experiments import read_experiment
    from homolog.store.figures import write_figures

    write_figures(job.output.pdf, drawn(waterfall, read_experiment(job.input.data)), job.provenance())
