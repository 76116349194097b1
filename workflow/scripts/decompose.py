"""Fit one decomposition to the activations of one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def decompose(job):
    from homolog.decompositions.fit import fit
    from homolog.splicing import with_losses
    from homolog.store.activation_samples import open_activations
    from homolog.store.dictionaries import write_dictionaries

    names = [job.spec["hook_point"], job.spec["partner"]]
    activations, partner = (name and open_activations(job.input.activations, name) for name in names)
    fitted = fit(job.spec, activations, partner, job.device, job.progress, job.checkpoint, job.code)
    networks = job.input.model, job.input.imitated
    dictionaries = with_losses(fitted, job.spec, activations, *networks, job.device)
    write_dictionaries(job.output.dictionaries, dictionaries, job.provenance())
