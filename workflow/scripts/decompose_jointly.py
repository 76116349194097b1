"""Fit one decomposition to the activations of all runs of an experiment together."""

from homolog.stage import stage


@stage(snakemake)
def decompose_jointly(job):
    from homolog.decompositions.joint import fit_jointly
    from homolog.store.activation_samples import open_activations
    from homolog.store.joint import write_joint

    fitted = {}
    for hook_point in job.spec["hook_points"]:
        activations = [open_activations(path, hook_point) for path in job.input.activations]
        checkpoint = job.checkpoint.with_name(f"{job.checkpoint.name}.{hook_point}")
        fitted[hook_point] = fit_jointly(job.spec, activations, job.device, job.progress, checkpoint, job.code)
    write_joint(job.output.dictionaries, job.spec["runs"], fitted, job.provenance())
