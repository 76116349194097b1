# For other tools: dictionaries with a card that says which of their latents come back, and tracks as a table. Asked for by
# path; no other target wants them.


rule export:
    input:
        dictionaries=exported_dictionaries,
        activations=exported_activations,
        data=experiment_data,
        tracks=tracks_of,
    output:
        card="results/export/{experiment}/{model}/seed_{seed}/{hook_point}/{decomposition}/README.md",
    log:
        "results/experiments/{experiment}/logs/export/{model}/seed_{seed}/{hook_point}/{decomposition}.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/export/{model}/seed_{seed}/{hook_point}/{decomposition}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("export"),
        code=code("export"),
    message:
        "export {wildcards.decomposition} at {wildcards.hook_point} of {wildcards.model}, seed {wildcards.seed}, with what {wildcards.experiment} says"
    script:
        "../scripts/export.py"


rule export_tracks:
    input:
        tracks=rules.track.output.tracks,
    output:
        table="results/export/{experiment}/tracks.{kind}",
    log:
        "results/experiments/{experiment}/logs/export_tracks_{kind}.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/export_tracks_{kind}.tsv"
    wildcard_constraints:
        kind="csv|parquet",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("export_tracks"),
        code=code("export_tracks"),
    message:
        "export the tracks of {wildcards.experiment} as {wildcards.kind}"
    script:
        "../scripts/export_tracks.py"
