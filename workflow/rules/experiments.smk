# Across runs: numbers, then the figure; how the dictionaries behind them were trained; and those of all runs together.


rule analyse:
    input:
        models=experiment_models,
        curves=experiment_curves,
        activations=experiment_activations,
        dictionaries=experiment_dictionaries,
        gaussian=gaussian_dictionaries,
    output:
        data="results/experiments/{experiment}/{analysis}.nc",
    log:
        "results/experiments/{experiment}/logs/{analysis}.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/{analysis}.tsv"
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec("analyse"),
        code=code("analyse"),
    message:
        "compare the runs of {wildcards.experiment} ({wildcards.analysis})"
    script:
        "../scripts/analyse.py"


rule track:
    input:
        models=tracked_models,
        curves=tracked_curves,
        activations=tracked_activations,
        dictionaries=tracked_dictionaries,
        joint=joint_dictionaries,
    output:
        tracks="results/experiments/{experiment}/tracks.nc",
    log:
        "results/experiments/{experiment}/logs/track.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/track.tsv"
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec("track"),
        code=code("track"),
    message:
        "track the latents of {wildcards.experiment}"
    script:
        "../scripts/track.py"


rule plot:
    input:
        data=experiment_data,
        tracks=tracks_of_figure,
    output:
        pdf=report(
            "results/figures/{experiment}.pdf",
            caption="../report/experiment.rst",
            category="Experiments",
            labels=shown("main figure"),
        ),
        summary="results/figures/{experiment}.txt",
        table="results/figures/{experiment}.csv",
        runs="results/figures/{experiment}/runs.csv",
    log:
        "results/experiments/{experiment}/logs/plot.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot.tsv"
    group:
        together("figures")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("plot"),
        code=code("plot"),
    message:
        "draw {output.pdf}"
    script:
        "../scripts/plot.py"


rule plot_waterfall:
    input:
        data=experiment_data,
    output:
        pdf=report(
            "results/figures/{experiment}/waterfall.pdf",
            caption="../report/waterfall.rst",
            category="Experiments",
            labels=shown("waterfall"),
        ),
    log:
        "results/experiments/{experiment}/logs/plot_waterfall.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot_waterfall.tsv"
    group:
        together("figures")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("plot_waterfall"),
        code=code("plot_waterfall"),
    message:
        "draw the waterfall of {wildcards.experiment}"
    script:
        "../scripts/plot_waterfall.py"


rule plot_training:
    input:
        curves=experiment_curves,
        dictionaries=experiment_dictionaries,
    output:
        pdf=report(
            "results/figures/{experiment}/training.pdf",
            caption="../report/training.rst",
            category="Training",
            labels=shown("training"),
        ),
    log:
        "results/experiments/{experiment}/logs/plot_training.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot_training.tsv"
    group:
        together("figures")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("plot_training"),
        code=code("plot_training"),
    message:
        "draw the training of {wildcards.experiment}"
    script:
        "../scripts/plot_training.py"


rule plot_tracks:
    input:
        tracks=rules.track.output.tracks,
    output:
        pdf=report(
            "results/figures/{experiment}/tracks.pdf",
            caption="../report/tracks.rst",
            category="Experiments",
            labels=shown("tracks"),
        ),
        table="results/figures/{experiment}/tracks.csv",
    log:
        "results/experiments/{experiment}/logs/plot_tracks.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot_tracks.tsv"
    group:
        together("figures")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("plot_tracks"),
        code=code("plot_tracks"),
    message:
        "draw the tracks of {wildcards.experiment}"
    script:
        "../scripts/plot_tracks.py"


rule decompose_jointly:
    input:
        models=joint_models,
        activations=joint_activations,
    output:
        dictionaries="results/experiments/{experiment}/{decomposition}.h5",
    log:
        "results/experiments/{experiment}/logs/decompose_jointly/{decomposition}.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/decompose_jointly/{decomposition}.tsv"
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec("decompose_jointly"),
        code=code("decompose_jointly"),
    message:
        "decompose the runs of {wildcards.experiment} together, by {wildcards.decomposition}"
    script:
        "../scripts/decompose_jointly.py"


rule plot_crosscoder:
    input:
        dictionaries=joint_dictionaries,
        tracks=tracks_of,
    output:
        pdf=report(
            "results/figures/{experiment}/crosscoder.pdf",
            caption="../report/crosscoder.rst",
            category="Experiments",
            labels=shown("crosscoder"),
        ),
    log:
        "results/experiments/{experiment}/logs/plot_crosscoder.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot_crosscoder.tsv"
    group:
        together("figures")
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        spec=spec("plot_crosscoder"),
        code=code("plot_crosscoder"),
    message:
        "draw what the runs of {wildcards.experiment} share"
    script:
        "../scripts/plot_crosscoder.py"
