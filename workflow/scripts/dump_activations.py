"""Record what the hook points of one run read."""

from homolog.jobs.stage import stage


@stage(snakemake)
def dump_activations(job):
    from homolog.activations import describe_hook_points, stream_activations
    from homolog.loading import build
    from homolog.models.build import restore_model
    from homolog.store.activations import write_activations
    from homolog.store.models import read_model

    spec, data, saved = job.spec, build(job.spec["task"]).data(), read_model(job.input.model)
    model = restore_model(spec["architecture"], saved.state, saved.sizes)
    hook_points = describe_hook_points(model, spec["hook_points"])
    names, size = spec["hook_points"], spec["batch_size"]
    batches = stream_activations(model, data.inputs, names, size, job.device, job.progress)
    provenance = job.provenance(data=data.digest())
    write_activations(job.output.activations, hook_points, batches, data, spec["dtype"], provenance)
