# The config, read once and checked whole; what each job needs of it; where the library stands.
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
# Jobs run the code that is fingerprinted: this checkout's, whether or not it is installed.
sys.path.insert(0, str(ROOT / "src"))

from homolog.config import ConfigError, load_config, parse_config
from homolog.config.check_files import check_files
from homolog.folders import check_folders
from homolog.planning import Plan, run_of, show_to_jobs
from homolog.registry import ANALYSES, DRAWN_WITH_TRACKS

show_to_jobs(ROOT / "src")


def refuse(problems):
    """Tell all that is wrong, a line each, and go before the first job."""
    if problems:
        sys.exit("\n".join(f"homolog: error: {problem}" for problem in problems))


refuse(check_folders([".snakemake/log", "results/models"]))
try:
    # What Snakemake says of a file that is no YAML names no line, and of keys that stand twice it takes the last.
    if not config:
        load_config("config.yaml")
except ConfigError as error:
    refuse(error.problems)


configfile: "config.yaml"


try:
    # The command line may have changed some of it: --config, --configfile.
    plan = Plan(parse_config(config), ROOT / "src", ROOT / "workflow" / "scripts")
except ConfigError as error:
    refuse(error.problems)


# What is named must be there; a job is started by a process that has asked.
if workflow.is_main_process:
    refuse(check_files(plan.config))


onstart:
    # Else it would be Snakemake that fails, when it clears the way for a job's output.
    refuse(check_folders(path for job in workflow.dag.needrun_jobs() for path in (*job.output, *job.log)))


STANDARD = [name for name, experiment in plan.config.experiments.items() if not experiment.optional]
RUN = "results/models/{model}/seed_{seed}"
# A GPU is reserved only where one is asked for; `auto` takes what it finds.
DEVICE = {"device": plan.config.device} | ({"gpu": 1} if plan.config.device == "cuda" else {})


wildcard_constraints:
    model=r"[A-Za-z]\w*(-untrained|-gaussian|-regauged-[\w.]+)?",
    seed=r"\d+",
    hook_point=r"[\w.]+",
    decomposition=r"\w+",
    experiment=r"\w+",
    # Beside the analysis's own file lie others, such as tracks.nc.
    analysis="|".join(ANALYSES),


# What others recorded and trained is taken as it is. "(?!)" is like nothing.
EXTERNAL = "|".join(name for name in plan.config.models if plan.config.external(name)) or "(?!)"
GIVEN = "|".join(name for name, one in plan.config.decompositions.items() if one.method == "given") or "(?!)"
OWN_MODEL = rf"(?!(?:{EXTERNAL})/)[A-Za-z]\w*(-untrained|-regauged-[\w.]+)?"
OWN_DECOMPOSITION = rf"(?!(?:{GIVEN})\.)\w+"


def recorded_activations(wildcards):
    return plan.recorded(run_of(wildcards.model, wildcards.seed))


def given_dictionaries(wildcards):
    return plan.given(run_of(wildcards.model, wildcards.seed), wildcards.hook_point, wildcards.decomposition)


def parent_model(wildcards):
    parent = plan.parent(run_of(wildcards.model, wildcards.seed))
    return rules.train.output.model.format(model=parent.model, seed=parent.seed) if parent else []


def train_spec(wildcards):
    return plan.train(run_of(wildcards.model, wildcards.seed))


def train_code(wildcards):
    return plan.code("train.py", train_spec(wildcards))


def dump_activations_spec(wildcards):
    return plan.dump_activations(run_of(wildcards.model, wildcards.seed))


def dump_activations_code(wildcards):
    return plan.code("dump_activations.py", dump_activations_spec(wildcards))


def take_activations_spec(wildcards):
    return plan.take_activations(run_of(wildcards.model, wildcards.seed))


def take_activations_code(wildcards):
    return plan.code("take_activations.py", take_activations_spec(wildcards))


def take_dictionaries_spec(wildcards):
    run = run_of(wildcards.model, wildcards.seed)
    return plan.take_dictionaries(run, wildcards.hook_point, wildcards.decomposition)


def take_dictionaries_code(wildcards):
    return plan.code("take_dictionaries.py", take_dictionaries_spec(wildcards))


def decomposed(pattern, wildcards):
    run = plan.read_by(run_of(wildcards.model, wildcards.seed))
    return pattern.format(model=run.model, seed=run.seed)


def decomposed_model(wildcards):
    source = plan.read_by(run_of(wildcards.model, wildcards.seed)).source
    return [] if plan.config.external(source) else decomposed(rules.train.output.model, wildcards)


def decomposed_activations(wildcards):
    return decomposed(rules.dump_activations.output.activations, wildcards)


def decompose_spec(wildcards):
    return plan.decompose(run_of(wildcards.model, wildcards.seed), wildcards.hook_point, wildcards.decomposition)


def decompose_code(wildcards):
    return plan.code("decompose.py", decompose_spec(wildcards))


def decompose_jointly_spec(wildcards):
    return plan.decompose_jointly(wildcards.experiment, wildcards.decomposition)


def decompose_jointly_code(wildcards):
    return plan.code("decompose_jointly.py", decompose_jointly_spec(wildcards))


def analyse_spec(wildcards):
    return plan.analyse(wildcards.experiment)


def analyse_code(wildcards):
    return plan.code("analyse.py", analyse_spec(wildcards))


def track_spec(wildcards):
    return plan.track(wildcards.experiment)


def track_code(wildcards):
    return plan.code("track.py", track_spec(wildcards))


def plot_spec(wildcards):
    return plan.plot(wildcards.experiment)


def plot_code(wildcards):
    return plan.code("plot.py", plot_spec(wildcards))


def plot_waterfall_spec(wildcards):
    return plan.plot_waterfall(wildcards.experiment)


def plot_waterfall_code(wildcards):
    return plan.code("plot_waterfall.py", plot_waterfall_spec(wildcards))


def plot_training_spec(wildcards):
    return plan.plot_training(wildcards.experiment)


def plot_training_code(wildcards):
    return plan.code("plot_training.py", plot_training_spec(wildcards))


def plot_tracks_spec(wildcards):
    return plan.plot_tracks(wildcards.experiment)


def plot_tracks_code(wildcards):
    return plan.code("plot_tracks.py", plot_tracks_spec(wildcards))


def plot_crosscoder_spec(wildcards):
    return plan.plot_crosscoder(wildcards.experiment)


def plot_crosscoder_code(wildcards):
    return plan.code("plot_crosscoder.py", plot_crosscoder_spec(wildcards))


def of_runs(pattern, runs, **more):
    return [path for run in runs for path in collect(pattern, model=run.model, seed=run.seed, **more)]


def dictionaries_of(runs, experiment):
    return of_runs(
        rules.decompose.output.dictionaries,
        runs,
        hook_point=plan.hook_points(experiment),
        decomposition=plan.decompositions(experiment),
    )


def of_trained(pattern, wildcards):
    runs = [run for run in plan.runs(wildcards.experiment) if not plan.config.external(run.source)]
    return [pattern.format(model=run.model, seed=run.seed) for run in runs]


def experiment_models(wildcards):
    return of_trained(rules.train.output.model, wildcards)


def experiment_curves(wildcards):
    return of_trained(rules.train.output.curve, wildcards)


def experiment_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, plan.runs(wildcards.experiment))


def experiment_dictionaries(wildcards):
    return dictionaries_of(plan.runs(wildcards.experiment), wildcards.experiment)


def tracked_models(wildcards):
    return of_runs(rules.train.output.model, plan.tracked(wildcards.experiment))


def tracked_curves(wildcards):
    return of_runs(rules.train.output.curve, plan.tracked(wildcards.experiment))


def tracked_activations(wildcards):
    return of_runs(rules.dump_activations.output.activations, plan.tracked(wildcards.experiment))


def tracked_dictionaries(wildcards):
    return dictionaries_of(plan.tracked(wildcards.experiment), wildcards.experiment)


def gaussian_dictionaries(wildcards):
    return [
        path
        for run in plan.with_gaussian(wildcards.experiment)
        for path in collect(
            rules.decompose.output.dictionaries,
            model=run.gaussian().model,
            seed=run.seed,
            hook_point=plan.hook_points(wildcards.experiment),
            decomposition=plan.gaussian_decompositions(wildcards.experiment),
        )
    ]


def of_compared(pattern, wildcards):
    return [pattern.format(model=run.model, seed=run.seed) for run in plan.compared(wildcards.experiment)]


def joint_models(wildcards):
    return of_compared(rules.train.output.model, wildcards)


def joint_activations(wildcards):
    return of_compared(rules.dump_activations.output.activations, wildcards)


def joint_dictionaries(wildcards):
    names = plan.decompositions(wildcards.experiment, joint=True)
    pattern = rules.decompose_jointly.output.dictionaries
    return collect(pattern, experiment=wildcards.experiment, decomposition=names)


def with_tracks(experiments):
    return [name for name in experiments if plan.has_tracks(name)]


def tracks_of(wildcards):
    return collect(rules.track.output.tracks, experiment=with_tracks([wildcards.experiment]))


def tracks_of_figure(wildcards):
    figure = plan.config.experiments[wildcards.experiment].figure
    return tracks_of(wildcards) if figure in DRAWN_WITH_TRACKS else []


def with_runs(experiments):
    return [name for name in experiments if plan.compared(name)]


def with_joint(experiments):
    return [name for name in experiments if plan.decompositions(name, joint=True)]


def experiment_data(wildcards):
    analysis = plan.config.experiments[wildcards.experiment].analysis.name
    return rules.analyse.output.data.format(experiment=wildcards.experiment, analysis=analysis)
