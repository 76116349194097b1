# Across runs: numbers, then the figure.


rule analyse:
    input:
        models=experiment_models,
        curves=experiment_curves,
        activations=experiment_activations,
        dictionaries=experiment_dictionaries,
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
        mem_mb=4000,
        runtime=120,
    params:
        spec=analyse_spec,
        code=analyse_code,
    message:
        "compare the runs of {wildcards.experiment} ({wildcards.analysis})"
    script:
        "../scripts/analyse.py"


rule plot:
    input:
        data=experiment_data,
    output:
        pdf=report("results/figures/{experiment}.pdf", caption="../report/experiment.rst", category="Experiments"),
        summary="results/figures/{experiment}.txt",
        table="results/figures/{experiment}.csv",
        runs="results/figures/{experiment}/runs.csv",
    log:
        "results/experiments/{experiment}/logs/plot.log",
    benchmark:
        "results/experiments/{experiment}/benchmarks/plot.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=plot_spec,
        code=plot_code,
    message:
        "draw {output.pdf}"
    script:
        "../scripts/plot.py"
