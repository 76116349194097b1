"""Fit one decomposition to the activations of all runs of an experiment together."""

from homolog.jobs.stage import stage


@stage(snakemake)
def decompose_jointly(job):
    from homolog.decompositions.joint import fit_jointly
    from homolog.joint_splicing import with_joint_loss_recovered
    from homolog.store.activation_samples import open_activations
    from homolog.store.joint import write_joint
    from homolog.store.models import read_model

    fitted, saved = {}, [read_model(path) for path in job.input.models]
    for hook_point in job.spec["hook_points"]:
        activations = [open_activations(path, hook_point) for path in job.input.activations]
        checkpoint = job.checkpoint.with_name(f"{job.checkpoint.name}.{hook_point}")
        members = fit_jointly(job.spec, activations, job.device, job.progress, checkpoint, job.code)
        fitted[hook_point] = with_joint_loss_recovered(members, job.spec, activations, saved, job.device)
    write_joint(job.output.dictionaries, job.spec["runs"], fitted, job.provenance())
