"""Draw the figure of one experiment, and write the same as text and CSV."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot(job):
    from homolog.figures.report import drawn, headlines, report_of
    from homolog.loading import load
    from homolog.store.experiments import read_experiment
    from homolog.store.figures import write_figures, write_text
    from homolog.store.tracks import with_tracks

    dataset = with_tracks(read_experiment(job.input.data), job.input.tracks)
    figure = load(job.spec["figure"])
    report = report_of(figure)
    write_figures(job.output.pdf, drawn(figure, dataset), job.provenance())
    write_text(job.output.summary, report.summary(dataset, headlines(figure, dataset)))
    write_text(job.output.table, report.table(dataset).to_csv(index=False))
    write_text(job.output.runs, report.runs_table(dataset).to_csv(index=False))
