"""Track the latents of one experiment over its runs."""

from homolog.jobs.stage import stage


@stage(snakemake)
def track(job):
    from homolog.analyses.tracking import track
    from homolog.store.runs import open_runs
    from homolog.store.tracks import write_tracks

    tracks = track(job.spec, open_runs(job.input.activations), job.input.joint, job.device, job.progress)
    write_tracks(job.output.tracks, tracks, job.provenance())
