"""Compare the runs of one experiment."""

from homolog.jobs.stage import stage


@stage(snakemake)
def analyse(job):
    from homolog.loading import load
    from homolog.store.experiments import write_experiment
    from homolog.store.runs import open_runs

    runs = open_runs(job.input.activations)
    dataset = load(job.spec["analysis"])(job.spec, runs, job.device, job.progress)
    write_experiment(job.output.data, dataset, job.provenance())
