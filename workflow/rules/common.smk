# The config, read once and checked whole; what each job carries of it; where the library stands.
import gc
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import gettempdir

from snakemake.settings.enums import Quietness

# Planning makes millions of objects that stay. To look for others among them after every 700 was a sixth of its time.
gc.set_threshold(100_000)

# Where this file lies, also where another workflow takes this one as a module.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
# Jobs run the code that is fingerprinted: this checkout's, whether or not it is installed.
sys.path.insert(0, str(ROOT / "src"))

from homolog.provenance import planned_code
from homolog.sources import show_to_jobs


def refuse(problems):
    """Tell all that is wrong, a line each, and go before the first job."""
    if problems:
        sys.exit("\n".join(f"homolog: error: {problem}" for problem in problems))


def refused(function, *arguments, **named):
    """What a function gives; where it raises a ValueError, one line and the end."""
    try:
        return function(*arguments, **named)
    except ValueError as error:
        refuse([str(error)])


# Kept for jobs, which hold what they run against it.
sources = planned_code(
    ROOT / "src", ROOT / "workflow" / "scripts", Path(".snakemake/homolog"), workflow.is_main_process
)
# A job is started by a process that has asked.
if workflow.is_main_process:
    refuse(sources.mistakes)

from homolog.config import ConfigError, load_config, parse_config
from homolog.config.check_files import check_files, check_network_files, fallbacks
from homolog.config.sparse_autoencoders import SparseAutoencoderOptions
from homolog.jobs.command_lines import check_checkout, check_command_lines
from homolog.jobs.folders import check_clock, check_folders
from homolog.jobs.killed import killed
from homolog.jobs.stopping import name_parent
from homolog.planning import Plan
from homolog.planning.plan import job_of
from homolog.registry import ANALYSES
from homolog.results.benchmarks import all_in_words, in_words, read_benchmark
from homolog.results.left import Left
from homolog.results.prune import FOLDERS

show_to_jobs(ROOT / "src")
name_parent()
refuse(check_checkout(str(ROOT)))
refuse(check_folders([".snakemake/log", "results/models"]))
# `python -m homolog adopt` plans too, as a dry run.
if workflow.is_main_process and not workflow.output_settings.dryrun:
    refuse(check_clock(f"results/{name}" for name in FOLDERS))
try:
    # What Snakemake says of a file that is no YAML names no line, and of keys that stand twice it takes the last.
    if not config:
        load_config("config.yaml")
except ConfigError as error:
    refuse(error.problems)


configfile: "config.yaml"


try:
    # The command line may have changed some of it: --config, --configfile.
    plan = Plan(parse_config(config))
except ConfigError as error:
    refuse(error.problems)


# What is named must be there.
if workflow.is_main_process:
    refuse(check_files(plan.config))


onstart:
    if not workflow.local_exec:
        options = workflow.config_settings.config_args
        refuse(check_command_lines(os.getcwd(), str(ROOT), sys.executable, options))
    logger.addHandler(Left(workflow.dag, partial(logger.info, extra={"quietness": Quietness.PROGRESS})))
    reading = [job for job in workflow.dag.needrun_jobs() if job.rule.name in ("train_network", "dump_network")]
    fed = dict.fromkeys(job_of(job.wildcards)["run"].source for job in reading)
    # Of optional experiments it isn't told before: who builds others needn't have these networks.
    refuse([line for name in fed for line in check_network_files(plan.config, name)])
    for line in fallbacks(plan.config, fed):
        print(f"homolog: warning: {line}.", file=sys.stderr)
    # Else it would be Snakemake that fails, when it clears the way for a job's output.
    refuse(check_folders(path for job in workflow.dag.needrun_jobs() for path in (*job.output, *job.log)))


onerror:
    failed = [job for one in workflow.scheduler.failed for job in (one.jobs if one.is_group() else [one])]
    for problem in killed((job.rule.name, log) for job in failed for log in job.log):
        print(f"homolog: error: {problem}", file=sys.stderr)


STANDARD = [name for name, experiment in plan.config.experiments.items() if not experiment.optional]
RUN = "results/models/{model}/seed_{seed}"
# A GPU is reserved only where one is asked for; `auto` takes what it finds.
DEVICE = {"device": plan.config.device} | ({"gpu": 1} if plan.config.device == "cuda" else {})
# Snakemake's own default, which it would work out for each job anew.
if not QUEUED and workflow.resource_settings.default_resources is None:
    DEVICE["tmpdir"] = gettempdir()


wildcard_constraints:
    model=r"[A-Za-z]\w*(-untrained|-gaussian|-step_\d+|-regauged-[\w.]+)?",
    seed=r"\d+",
    hook_point=r"[\w.]+",
    decomposition=r"\w+",
    experiment=r"\w+",
    # Beside the analysis's own file lie others, such as tracks.nc.
    analysis="|".join(ANALYSES),


# What others recorded and trained is taken as it is. "(?!)" is like nothing.
EXTERNAL = "|".join(name for name in plan.config.models if plan.config.external(name)) or "(?!)"
NETWORK = "|".join(name for name in plan.config.models if plan.config.network(name)) or "(?!)"
OUTSIDE = f"{EXTERNAL}|{NETWORK}"
# One that is trained here, before the end of it too.
NETWORK_RUN = rf"({NETWORK})(-untrained|-step_\d+)?"
GIVEN = "|".join(name for name, one in plan.config.decompositions.items() if one.method == "given") or "(?!)"
OWN_MODEL = rf"(?!(?:{OUTSIDE})[/-])[A-Za-z]\w*(-untrained|-step_\d+|-regauged-[\w.]+)?"
OWN_DECOMPOSITION = rf"(?!(?:{GIVEN})\.)\w+"


def spec(rule):
    """The slice of the config that a job of the rule needs, as a param."""

    @asked_often
    def of_job(wildcards):
        return plan.spec(rule, **job_of(wildcards))

    return of_job


def code(rule):
    """The fingerprint of the code that a job of the rule can reach, as a param."""

    @asked_often
    def of_job(wildcards):
        return sources.fingerprint(f"{rule}.py", plan.spec(rule, **job_of(wildcards)))

    return of_job


def is_short(wildcards):
    """Whether a decomposition is done quickly: no autoencoder is."""
    return not isinstance(plan.config.decompositions[wildcards.decomposition], SparseAutoencoderOptions)


def shown(figure):
    """What `snakemake --report` lists of a figure: whose it is, what it shows, and what it and all behind it took."""

    def of_job(wildcards, output):
        job = next(job for job in workflow.dag.jobs if output[0] in job.output)
        behind = [one.benchmark for one in workflow.dag.bfs(workflow.dag.dependencies, job) if one.benchmark]
        return {
            "experiment": wildcards.experiment,
            "figure": figure,
            "drawn in": in_words(read_benchmark(job.benchmark).seconds),
            "with all before it": all_in_words(behind),
        }

    return of_job


def with_runs(experiments):
    return [name for name in experiments if plan.experiment(name).compared]


def with_waterfall(experiments):
    return [name for name in with_runs(experiments) if plan.experiment(name).is_stability]


def with_tracks(experiments):
    return [name for name in experiments if plan.experiment(name).has_tracks]


def with_joint(experiments):
    return [name for name in experiments if plan.experiment(name).joint_decompositions]


def all_of(experiments):
    """What people look at of some experiments."""
    return [
        paths(rules.plot.output.pdf, experiment=experiments),
        paths(rules.plot_waterfall.output.pdf, experiment=with_waterfall(experiments)),
        paths(rules.plot_training.output.pdf, experiment=with_runs(experiments)),
        paths(rules.plot_tracks.output.pdf, experiment=with_tracks(experiments)),
        paths(rules.plot_crosscoder.output.pdf, experiment=with_joint(experiments)),
    ]
