"""Fit one decomposition to the activations of one run."""

from homolog.stage import stage


@stage(snakemake)
def decompose(job):
    from homolog.decompositions.fit import fit
    from homolog.store.activations import read_activations
    from homolog.store.dictionaries import write_dictionaries

    names = [job.spec["hook_point"], job.spec["partner"]]
    activations, partner = (name and read_activations(job.input.activations, name) for name in names)
    dictionaries = fit(job.spec, activations, partner, job.device, job.progress)
    write_dictionaries(job.output.dictionaries, dictionaries, job.provenance())
