"""Draw which latents the runs of one experiment share."""

from homolog.jobs.stage import stage


@stage(snakemake)
def plot_crosscoder(job):
    from homolog.figures.crosscoder import draw
    from homolog.store.figures import write_figures
    from homolog.store.joint import read_joint
    from homolog.store.tracks import read_rivals

    pages = [page for path in job.input.dictionaries for page in read_joint(path)]
    rivals = read_rivals(job.input.tracks)
    write_figures(job.output.pdf, [figure for page in pages for figure in draw(page, rivals)], job.provenance())
