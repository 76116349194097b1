# Which files each rule reads.
from functools import cache

from snakemake.io import strip_wildcard_constraints

from homolog.planning.run_specs import fed_files, given_files, imitated, network_files, recorded_files
from homolog.planning.runs import has_objective, is_external, is_trained, parent, recipe
from homolog.registry import DRAWN_WITH_TRACKS


def paths(pattern, **wildcards):
    """`collect` for an output of a rule, wherever results lie: it refuses those of a storage (snakemake#3027)."""
    if pattern.is_storage:
        query = strip_wildcard_constraints(pattern.storage_object.query)
        pattern = query.removeprefix(workflow.storage_settings.default_storage_prefix).lstrip("/")
    return collect(pattern, **wildcards)


def run_of(wildcards):
    return job_of(wildcards)["run"]


def experiment_of(wildcards):
    return plan.experiment(wildcards.experiment)


def trained(runs):
    """Of runs that others trained there are no weights here."""
    return [run for run in runs if is_trained(plan.config, run)]


def of_runs(pattern, runs, **more):
    return [path for run in runs for path in paths(pattern, model=run.model, seed=run.seed, **more)]


@cache
def of_run(pattern, run):
    (path,) = of_runs(pattern, [run])
    return path


def dictionaries_of(runs, experiment, decompositions):
    wanted = tuple(experiment.hook_points), tuple(decompositions)
    return [path for run in runs for path in dictionaries_of_run(run, *wanted)]


@cache
def dictionaries_of_run(run, hook_points, decompositions):
    pattern = rules.decompose.output.dictionaries
    return of_runs(pattern, [run], hook_point=hook_points, decomposition=decompositions)


# Inside a run


@asked_often
def parent_model(wildcards):
    found = parent(plan.config, run_of(wildcards))
    return of_run(rules.train.output.model, found) if found and is_trained(plan.config, found) else []


@asked_often
def own_weights(wildcards):
    run = run_of(wildcards)
    return of_run(rules.train.output.model, run) if is_trained(plan.config, run) else []


# What others made is read where the config says it is, not in a storage.
@asked_often
def data_files(wildcards):
    return [local(path) for path in recipe(plan.config, run_of(wildcards)).task.files()]


def recorded_activations(wildcards):
    return [local(path) for path in recorded_files(plan.config, run_of(wildcards))]


def network_made_of(wildcards):
    return [local(path) for path in network_files(plan.config, run_of(wildcards))]


def network_fed(wildcards):
    return [local(path) for path in fed_files(plan.config, run_of(wildcards))]


def given_dictionaries(wildcards):
    return [local(path) for path in given_files(plan.config, **job_of(wildcards))]


@asked_often
def decomposed_model(wildcards):
    run = run_of(wildcards).recorded
    known = is_trained(plan.config, run) and (has_objective(plan.config, run) or not is_external(plan.config, run))
    return of_run(rules.train.output.model, run) if known else []


@asked_often
def imitated_model(wildcards):
    found = imitated(plan.config, run_of(wildcards).recorded)
    return of_run(rules.train.output.model, found) if found and is_trained(plan.config, found) else []


@asked_often
def decomposed_network(wildcards):
    return network_made_of(wildcards) if has_objective(plan.config, run_of(wildcards)) else []


@asked_often
def decomposed_data(wildcards):
    return network_fed(wildcards) if has_objective(plan.config, run_of(wildcards)) else []


@asked_often
def decomposed_activations(wildcards):
    return of_run(rules.dump_activations.output.activations, run_of(wildcards).recorded)


# Across runs


def experiment_models(wildcards):
    return of_runs(rules.train.output.model, trained(experiment_of(wildcards).runs))


def experiment_curves(wildcards):
    return of_runs(rules.train.output.curve, trained(experiment_of(wildcards).runs))


def experiment_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, experiment_of(wildcards).runs)


def experiment_dictionaries(wildcards):
    experiment = experiment_of(wildcards)
    return dictionaries_of(experiment.runs, experiment, experiment.decompositions)


def gaussian_dictionaries(wildcards):
    experiment = experiment_of(wildcards)
    runs = [run.gaussian() for run in experiment.with_gaussian]
    return dictionaries_of(runs, experiment, experiment.gaussian_decompositions)


def tracked_models(wildcards):
    return of_runs(rules.train.output.model, trained(experiment_of(wildcards).tracked))


def tracked_curves(wildcards):
    return of_runs(rules.train.output.curve, trained(experiment_of(wildcards).tracked))


def tracked_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, experiment_of(wildcards).tracked)


def tracked_dictionaries(wildcards):
    experiment = experiment_of(wildcards)
    return dictionaries_of(experiment.tracked, experiment, experiment.decompositions)


def joint_models(wildcards):
    return of_runs(rules.train.output.model, experiment_of(wildcards).compared)


def joint_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, experiment_of(wildcards).compared)


def joint_dictionaries(wildcards):
    names = experiment_of(wildcards).joint_decompositions
    pattern = rules.decompose_jointly.output.dictionaries
    return paths(pattern, experiment=wildcards.experiment, decomposition=names)


def looked_models(wildcards):
    return of_runs(rules.train.output.model, trained(experiment_of(wildcards).compared))


def looked_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, experiment_of(wildcards).compared)


def looked_dictionaries(wildcards):
    experiment = experiment_of(wildcards)
    return dictionaries_of(experiment.compared, experiment, experiment.decompositions)


def looked_data(wildcards):
    runs = experiment_of(wildcards).compared
    known = [recipe(plan.config, run).task.files() for run in runs[:1] if not is_external(plan.config, run)]
    fed = [fed_files(plan.config, run) for run in runs[:1] if plan.config.network(run.source)]
    return [local(path) for paths in (*known, *fed) for path in paths]


def looked_networks(wildcards):
    known = [run for run in experiment_of(wildcards).compared if plan.config.network(run.source)]
    found = [path for run in known for path in network_files(plan.config, run)]
    return [local(path) for path in dict.fromkeys(found)]


def exported_dictionaries(wildcards):
    # Asked first: it says what is there where a path names something else.
    refused(plan.spec, "export", **job_of(wildcards))
    wanted = {"hook_point": wildcards.hook_point, "decomposition": wildcards.decomposition}
    (path,) = of_runs(rules.decompose.output.dictionaries, [run_of(wildcards)], **wanted)
    return path


def exported_activations(wildcards):
    return of_run(rules.dump_activations.output.activations, run_of(wildcards))


def tracks_of(wildcards):
    return paths(rules.track.output.tracks, experiment=with_tracks([wildcards.experiment]))


def tracks_of_figure(wildcards):
    figure = plan.config.experiments[wildcards.experiment].figure
    return tracks_of(wildcards) if figure in DRAWN_WITH_TRACKS else []


def experiment_data(wildcards):
    analysis = plan.config.experiments[wildcards.experiment].analysis.name
    (path,) = paths(rules.analyse.output.data, experiment=wildcards.experiment, analysis=analysis)
    return path
