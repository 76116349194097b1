"""Train one run of a network that is known by its modules."""

from homolog.jobs.stage import stage


@stage(snakemake)
def train_network(job):
    from homolog.networks.bases import to_text
    from homolog.networks.training import train_network
    from homolog.store.curves import write_curve
    from homolog.store.models import write_model

    found = train_network(job.spec, job.input.parent, job.device, job.progress, job.checkpoint, job.code)
    provenance = job.provenance(data=found.digest, lineage=to_text(found.lineage))
    write_curve(job.output.curve, found.curve, provenance)
    write_model(job.output.model, found.state, None, provenance)
