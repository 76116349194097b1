"""Take up the dictionaries that others trained on the activations of one run."""

from homolog.jobs.stage import stage


@stage(snakemake)
def take_dictionaries(job):
    from homolog.decompositions.given import read_given
    from homolog.store.activation_samples import open_activations
    from homolog.store.dictionaries import write_dictionaries

    activations = open_activations(job.input.activations, job.spec["hook_point"])
    write_dictionaries(job.output.dictionaries, read_given(job.spec, activations), job.provenance())
