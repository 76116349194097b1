"""Draw the figures of one experiment, and write the same as text and CSV."""

from homolog.stage import stage


@stage(snakemake)
def plot(job):
    from homolog.figures import waterfall
    from homolog.figures.report import drawn, headlines, runs_table, summary, table
    from homolog.loading import load
    from homolog.store.experiments import read_experiment
    from homolog.store.figures import write_figures, write_text
    from homolog.store.tracks import with_tracks

    dataset = with_tracks(read_experiment(job.input.data), job.input.tracks)
    figure = load(job.spec["figure"])
    write_figures(job.output.pdf, drawn(figure, dataset), job.provenance())
    write_figures(job.output.waterfall, drawn(waterfall, dataset), job.provenance())
    write_text(job.output.summary, summary(dataset, headlines(figure, dataset)))
    write_text(job.output.table, table(dataset).to_csv(index=False))
    write_text(job.output.runs, runs_table(dataset).to_csv(index=False))
