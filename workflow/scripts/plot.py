"""Draw the figure of one experiment, and write the same as text and CSV."""

from homolog.stage import stage


@stage(snakemake)
def plot(job):
    from homolog.figures.report import pages, runs_table, summary, table
    from homolog.loading import load
    from homolog.store.experiments import read_experiment
    from homolog.store.figures import write_figures, write_text
    from homolog.store.tracks import with_tracks

    dataset = with_tracks(read_experiment(job.input.data), job.input.tracks)
    figure, each = load(job.spec["figure"]), pages(dataset)
    found = "\n\n".join(figure.headline(page.expand_dims("hook_point")) for page in each)
    write_figures(job.output.pdf, [figure.draw(page) for page in each], job.provenance())
    write_text(job.output.summary, summary(dataset, found))
    write_text(job.output.table, table(dataset).to_csv(index=False))
    write_text(job.output.runs, runs_table(dataset).to_csv(index=False))
