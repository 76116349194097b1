"""Take up the dictionaries that others trained on the activations of one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def take_dictionaries(job):
    from homolog.decompositions.given import read_given
    from homolog.splicing import with_losses
    from homolog.store.activation_samples import open_activations
    from homolog.store.dictionaries import write_dictionaries

    activations = open_activations(job.input.activations, job.spec["hook_point"])
    given, networks = read_given(job.spec, activations), (job.input.model, job.input.imitated)
    dictionaries = with_losses(given, job.spec, activations, *networks, job.device)
    write_dictionaries(job.output.dictionaries, dictionaries, job.provenance())
