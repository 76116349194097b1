"""Record what the hook points of a network from outside read of a corpus."""

from homolog.jobs.stage import stage


@stage(snakemake)
def dump_network(job):
    from homolog.loading import build
    from homolog.networks.reading import Reader
    from homolog.store.activations import write_blocks

    spec = job.spec
    network, corpus = build(spec["network"]), build(spec["corpus"]).corpus()
    reader = Reader(
        network,
        corpus,
        spec["points"],
        batch_size=spec["batch_size"],
        precision=spec["precision"],
        device=job.device,
    )
    provenance = job.provenance(data=reader.digest, revision=network.revision)
    blocks = reader.blocks(job.progress)
    write_blocks(job.output.activations, reader.hook_points, blocks, reader.rows, spec["dtype"], provenance)
