"""Take up what others recorded of one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def take_activations(job):
    from homolog.store.activations import write_activations
    from homolog.store.external import read_external

    taken = read_external(job.spec, f"{job.wildcards.model}/seed_{job.wildcards.seed}")
    provenance = job.provenance(data=taken.data.digest())
    write_activations(job.output.activations, taken.hook_points, taken.batches(), taken.data, "float32", provenance)
