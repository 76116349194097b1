"""Fit one decomposition to the activations of one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def decompose(job):
    from homolog.decompositions.fit import fit
    from homolog.splicing import with_loss_recovered
    from homolog.store.activation_samples import open_activations
    from homolog.store.dictionaries import write_dictionaries
    from homolog.store.models import read_model

    names = [job.spec["hook_point"], job.spec["partner"]]
    activations, partner = (name and open_activations(job.input.activations, name) for name in names)
    fitted = fit(job.spec, activations, partner, job.device, job.progress, job.checkpoint, job.code)
    saved = job.input.model and read_model(job.input.model)
    dictionaries = with_loss_recovered(fitted, job.spec, activations, saved, job.device) if saved else fitted
    write_dictionaries(job.output.dictionaries, dictionaries, job.provenance())
