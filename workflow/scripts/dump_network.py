"""Record what the hook points of a network, known by its modules, read of a corpus."""

from homolog.jobs.stage import stage


@stage(snakemake)
def dump_network(job):
    from homolog.loading import build
    from homolog.networks.reading import Reader
    from homolog.networks.restoring import restore_network
    from homolog.store.activations import write_blocks

    spec, corpus = job.spec, build(job.spec["corpus"]).corpus()
    network, options = restore_network(spec["network"], job.input.weights), ("batch_size", "precision", "streams")
    reader = Reader(network, corpus, spec["points"], device=job.device, **{name: spec[name] for name in options})
    provenance = job.provenance(data=reader.digest, revision=network.revision)
    blocks = reader.blocks(job.progress)
    write_blocks(job.output.activations, reader.hook_points, blocks, reader.rows, spec["dtype"], provenance)
