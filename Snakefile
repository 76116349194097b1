from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/resources.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/atlas.smk"


# All experiments whose data come with the packages.
rule all:
    default_target: True
    input:
        paths(rules.plot.output.pdf, experiment=STANDARD),
        paths(rules.plot_waterfall.output.pdf, experiment=with_runs(STANDARD)),
        paths(rules.plot_training.output.pdf, experiment=with_runs(STANDARD)),
        paths(rules.plot_tracks.output.pdf, experiment=with_tracks(STANDARD)),
        paths(rules.plot_crosscoder.output.pdf, experiment=with_joint(STANDARD)),


# Each experiment is a target by its name: `snakemake stability`.
for EXPERIMENT in plan.config.experiments:

    rule:
        name:
            EXPERIMENT
        input:
            paths(rules.plot.output.pdf, experiment=EXPERIMENT),
            paths(rules.plot_waterfall.output.pdf, experiment=with_runs([EXPERIMENT])),
            paths(rules.plot_training.output.pdf, experiment=with_runs([EXPERIMENT])),
            paths(rules.plot_tracks.output.pdf, experiment=with_tracks([EXPERIMENT])),
            paths(rules.plot_crosscoder.output.pdf, experiment=with_joint([EXPERIMENT])),
