# Cheap jobs that go wrong in the queue in every way that a real one can, and those that come after them.
# The growth with each attempt is the workflow's own.
include: "../../workflow/rules/resources.smk"


rule all:
    default_target: True
    input:
        "grown",
        "in_time",
        "cancelled",
        "hopeless",
        collect("gpu_{n}", n=range(2)),
        collect("short_{n}", n=range(6)),


# Each attempt notes its number in the queue in a file of its own.
rule grown:
    output:
        "grown",
    resources:
        attempt=growing(1),
        mem_mb=growing(100),
        runtime=growing(2),
    shell:
        "scontrol --oneliner show job $SLURM_JOB_ID > grown.{resources.attempt}; test {resources.attempt} = 3 && touch {output}"


rule too_long:
    output:
        "in_time",
    resources:
        attempt=growing(1),
        mem_mb=100,
        runtime=growing(1),
    shell:
        "echo $SLURM_JOB_ID > in_time.{resources.attempt}; test {resources.attempt} = 2 || sleep 600; touch {output}"


rule cancelled:
    output:
        "cancelled",
    resources:
        attempt=growing(1),
        mem_mb=100,
        runtime=10,
    shell:
        "echo $SLURM_JOB_ID > cancelled.{resources.attempt}; test {resources.attempt} = 2 || sleep 600; touch {output}"


rule hopeless:
    output:
        "hopeless",
    resources:
        attempt=growing(1),
        mem_mb=100,
        runtime=1,
    shell:
        "touch hopeless.{resources.attempt}; false"


rule gpu:
    output:
        "gpu_{n}",
    resources:
        gpu=1,
        mem_mb=100,
        runtime=5,
    shell:
        "date +%s.%N > {output}; sleep 2; date +%s.%N >> {output}; echo $CUDA_VISIBLE_DEVICES >> {output}"


rule short:
    output:
        "short_{n}",
    group:
        together("run")
    resources:
        mem_mb=100,
        runtime=5,
    shell:
        "echo $SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES:-none}} > {output}"
