# What one browses: a static site of the features of an experiment. Asked for by its path; no other target wants it.


rule atlas:
    input:
        tracks=rules.track.output.tracks,
        models=looked_models,
        activations=looked_activations,
        dictionaries=looked_dictionaries,
        data=looked_data,
        networks=looked_networks,
    output:
        index="results/atlas/{experiment}/index.html",
    log:
        "results/experiments/{experiment}/logs/atlas.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/atlas.tsv"
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        spec=spec("atlas"),
        code=code("atlas"),
    message:
        "make the atlas of {wildcards.experiment}"
    script:
        "../scripts/atlas.py"
