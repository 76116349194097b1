"""Train one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def train(job):
    from homolog.loading import build
    from homolog.store.curves import write_curve
    from homolog.store.models import read_model, write_model
    from homolog.training import train

    data = build(job.spec["task"]).data()
    parent = read_model(job.input.parent).state if job.input.parent else None
    model, curve = train(job.spec, data, parent, job.device, job.progress, job.checkpoint, job.code)
    write_curve(job.output.curve, curve, job.provenance(data=data.digest()))
    write_model(job.output.model, model.state_dict(), data.sizes, job.provenance(data=data.digest()))
