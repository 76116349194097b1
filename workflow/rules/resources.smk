# What a job asks of a queue, and with which others it is submitted. On one machine none of it binds, but for the GPU.


def growing(first):
    """A resource that is `first` at the first attempt, and as much more at each further one."""

    def at(wildcards, attempt):
        return first * attempt

    return at


def together(group):
    """The group, where a profile says how many of it make a submission: to form groups for nothing slows planning down."""

    def of_job(wildcards):
        return group if group in workflow.group_settings.group_components else None

    return of_job
