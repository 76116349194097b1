from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/resources.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/atlas.smk"
include: "workflow/rules/export.smk"


# All experiments whose data come with the packages.
rule all:
    default_target: True
    input:
        all_of(STANDARD),


# What one browses of each of these that may have it.
rule atlases:
    input:
        paths(rules.atlas.output.index, experiment=with_tracks(STANDARD)),


# Each experiment is a target by its name, `snakemake stability`; and so is each collection, `snakemake seeds`.
for TARGET, MEMBERS in plan.targets().items():

    rule:
        name:
            TARGET
        input:
            all_of(MEMBERS),
