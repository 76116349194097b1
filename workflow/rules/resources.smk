# What a job asks of a queue, and with which others it is submitted. On one machine none of it binds, but for the GPU.
# And how functions of rules are asked no more than it takes.
from inspect import signature

# Snakemake calls a function several times for each job that it plans, so that there are none where jobs aren't submitted,
# unless memory is shared out here by `--resources mem_mb=...`.
LIMITED = "mem_mb" in workflow.resource_settings.resources
QUEUED = workflow.resource_settings.nodes is not None or LIMITED or not workflow.is_main_process


def asked_often(function):
    """Note a function's arguments on it: Snakemake asks for them at every call, up to thrice, and that takes longer."""
    function.__signature__ = signature(function)
    return function


def growing(first):
    """A resource that is `first` at the first attempt and, of a queue, as much more at each further one."""

    @asked_often
    def at(wildcards, attempt):
        return first * attempt

    return at if QUEUED else first


def together(group, only=None):
    """The group, where a profile says how many of it make a submission; `only` of jobs of which that is true."""

    @asked_often
    def of_job(wildcards):
        # To form groups for nothing slows planning down.
        asked = group in workflow.group_settings.group_components
        return group if asked and (only is None or only(wildcards)) else None

    return of_job if QUEUED else None
