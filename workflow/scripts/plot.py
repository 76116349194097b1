"""Draw the figure of one experiment, and write the same as text and CSV."""

from homolog.stage import stage


@stage(snakemake)
def plot(job):
    from homolog.figures.report import pages, summary, table
    from homolog.loading import load
    from homolog.store.experiments import read_experiment
    from homolog.store.figures import write_figures, write_text

    dataset = read_experiment(job.input.data)
    figure = load(job.spec["figure"])
    write_figures(job.output.pdf, [figure.draw(page) for page in pages(dataset)], job.provenance())
    write_text(job.output.summary, summary(dataset, figure.headline(dataset)))
    write_text(job.output.table, table(dataset).to_csv(index=False))
