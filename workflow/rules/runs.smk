# Inside one run: train -> activations -> dictionaries.


rule train:
    input:
        parent=parent_model,
        data=data_files,
    output:
        model=f"{RUN}/model.safetensors",
        curve=f"{RUN}/training.nc",
    log:
        f"{RUN}/logs/train.log",
    benchmark:
        f"{RUN}/benchmarks/train.tsv"
    wildcard_constraints:
        model=OWN_MODEL,
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("train"),
        code=code("train"),
    message:
        "train {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/train.py"


rule train_network:
    input:
        parent=parent_model,
        network=network_made_of,
        data=network_fed,
    output:
        model=f"{RUN}/model.safetensors",
        curve=f"{RUN}/training.nc",
    log:
        f"{RUN}/logs/train_network.log",
    benchmark:
        f"{RUN}/benchmarks/train_network.tsv"
    wildcard_constraints:
        model=NETWORK_RUN,
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        spec=spec("train_network"),
        code=code("train_network"),
    message:
        "train the network {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/train_network.py"


rule dump_activations:
    input:
        model=rules.train.output.model,
        data=data_files,
    output:
        activations=f"{RUN}/activations.h5",
    log:
        f"{RUN}/logs/dump_activations.log",
    benchmark:
        f"{RUN}/benchmarks/dump_activations.tsv"
    wildcard_constraints:
        model=OWN_MODEL,
    group:
        together("run")
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("dump_activations"),
        code=code("dump_activations"),
    message:
        "dump activations of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/dump_activations.py"


rule take_activations:
    input:
        recorded=recorded_activations,
    output:
        activations=f"{RUN}/activations.h5",
    log:
        f"{RUN}/logs/take_activations.log",
    benchmark:
        f"{RUN}/benchmarks/take_activations.tsv"
    wildcard_constraints:
        model=EXTERNAL,
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("take_activations"),
        code=code("take_activations"),
    message:
        "take activations of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/take_activations.py"


rule dump_network:
    input:
        weights=own_weights,
        network=network_made_of,
        data=network_fed,
    output:
        activations=f"{RUN}/activations.h5",
    log:
        f"{RUN}/logs/dump_network.log",
    benchmark:
        f"{RUN}/benchmarks/dump_network.tsv"
    wildcard_constraints:
        model=NETWORK_RUN,
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        spec=spec("dump_network"),
        code=code("dump_network"),
    message:
        "dump activations of the network {wildcards.model}, seed {wildcards.seed}"
    script:
        "../scripts/dump_network.py"


rule decompose:
    input:
        model=decomposed_model,
        imitated=imitated_model,
        network=decomposed_network,
        data=decomposed_data,
        activations=decomposed_activations,
    output:
        dictionaries=f"{RUN}/{{hook_point}}/{{decomposition}}.h5",
    log:
        f"{RUN}/logs/{{hook_point}}/{{decomposition}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{hook_point}}/{{decomposition}}.tsv"
    wildcard_constraints:
        decomposition=OWN_DECOMPOSITION,
    group:
        together("run", only=is_short)
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        spec=spec("decompose"),
        code=code("decompose"),
    message:
        "decompose {wildcards.hook_point} of {wildcards.model}, seed {wildcards.seed}, by {wildcards.decomposition}"
    script:
        "../scripts/decompose.py"


rule take_dictionaries:
    input:
        given=given_dictionaries,
        model=decomposed_model,
        imitated=imitated_model,
        network=decomposed_network,
        data=decomposed_data,
        activations=rules.dump_activations.output.activations,
    output:
        dictionaries=f"{RUN}/{{hook_point}}/{{decomposition}}.h5",
    log:
        f"{RUN}/logs/{{hook_point}}/{{decomposition}}.log",
    benchmark:
        f"{RUN}/benchmarks/{{hook_point}}/{{decomposition}}.tsv"
    wildcard_constraints:
        model=OUTSIDE,
        decomposition=GIVEN,
    conda:
        "../../environment.yml"
    threads: plan.config.threads
    resources:
        **DEVICE,
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        spec=spec("take_dictionaries"),
        code=code("take_dictionaries"),
    message:
        "take {wildcards.hook_point} of {wildcards.model}, seed {wildcards.seed}, as {wildcards.decomposition}"
    script:
        "../scripts/take_dictionaries.py"
