"""Is exactly that rebuilt which a change can reach? (Too little would be wrong, too much would discourage.)"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workspace import BROWSED, EXPORTED, JOINT, ROOT, STAGES, TAKEN, Workspace, environment, run

from homolog.registry import FIGURES

STABILITY = "results/figures/stability.pdf"
EXPERIMENTS = ("stability", "widening", "reinit_depth", "bases")
# What reads a stage's output; all stages that stand behind it where nothing else is said.
FOLLOWING = {"analyse": ("plot", "plot_waterfall"), "track": ("plot", "plot_tracks")}
FOLLOWING |= {"plot": (), "plot_waterfall": (), "plot_training": ()}


@pytest.fixture(scope="session")
def every_job(built: Workspace) -> set[str]:
    """All jobs of the tiny configuration."""
    return built.planned("--forceall", "all")


def of_stages(jobs: set[str], *stages: str) -> set[str]:
    return {job for job in jobs if job.split()[0] in stages}


def of_experiment(name: str) -> set[str]:
    return {f"{stage} {name}" for stage in STAGES[3:]}


def change_code(path: Path) -> None:
    """An edit that runs when the module is imported, whatever of it is used."""
    path.write_text(path.read_text() + "\nprint(end='')\n")


def test_the_plan_of_everything_holds_every_stage(every_job: set[str]) -> None:
    # What all tests below compare with: an empty set here would let them pass.
    assert {job.split()[0] for job in every_job} == set(STAGES)
    assert of_stages(every_job, *STAGES[3:]) == {f"{stage} {name}" for stage in STAGES[3:] for name in EXPERIMENTS}
    assert "decompose digits_mlp_retrained/seed_1/hidden_1/topk" in every_job
    assert "train digits_mlp-regauged-hidden_1/seed_0" in every_job


def test_nothing_changed_nothing_planned_though_the_checkout_has_moved(copied: Workspace) -> None:
    assert copied.planned("all") == set()


def test_touching_every_source_file_plans_nothing(copied: Workspace) -> None:
    files = [path for path in copied.sources.rglob("*") if path.is_file()]
    assert {"Snakefile", "config.yaml", "runs.smk", "pca.py", "train.py"} <= {path.name for path in files}
    for path in [*files, copied.folder / "config.yaml"]:
        os.utime(path)
    assert copied.planned("all") == set()


def test_a_checkout_of_the_same_commit_plans_nothing(copied: Workspace) -> None:
    watched = [copied.module("homolog.decompositions.pca"), copied.script("train"), copied.sources / "Snakefile"]

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=copied.sources, check=True, env=environment())

    git("init", "--quiet", "--initial-branch", "main")
    git("add", "--all")
    git("commit", "--quiet", "--message", "as built")
    before = {path: path.stat().st_mtime_ns for path in watched}
    git("checkout", "--quiet", "-b", "other")
    for path in watched:
        change_code(path)
    git("commit", "--quiet", "--all", "--message", "another idea")
    git("checkout", "--quiet", "main")
    assert all(path.stat().st_mtime_ns > before[path] for path in watched)
    assert copied.planned("all") == set()


def test_comments_docstrings_and_layout_of_all_code_plan_nothing(copied: Workspace) -> None:
    for path in copied.python_files:
        path.write_text(reworded(path.read_text()))
    for path in (copied.sources / "Snakefile", *copied.sources.glob("workflow/rules/*.smk")):
        path.write_text(f"# A remark.\n\n{path.read_text()}\n# Another.\n")
    assert copied.planned("all") == set()


def reworded(source: str) -> str:
    """The same program with other docstrings, a comment, and no line of its layout kept."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Expr(ast.Constant("In other words."))
    changed = f"# A remark.\n\n\n{ast.unparse(ast.fix_missing_locations(tree))}\n"
    assert changed != source
    return changed


def test_a_comment_in_the_config_plans_nothing(copied: Workspace) -> None:
    path = copied.folder / "config.yaml"
    path.write_text(f"# A remark.\n{path.read_text()}\n# Another.\n")
    assert copied.planned("all") == set()


def test_the_layout_of_the_config_plans_nothing(copied: Workspace) -> None:
    copied.configure(lambda config: None)
    assert "{method: pca" not in (copied.folder / "config.yaml").read_text()
    assert copied.planned("all") == set()


def test_what_pca_computes_reaches_pca_and_what_reads_it(copied: Workspace, every_job: set[str]) -> None:
    change_code(copied.module("homolog.decompositions.pca"))
    figure_alone = copied.planned("--forceall", STABILITY)
    for jobs, planned in ((figure_alone, copied.planned(STABILITY)), (every_job, copied.planned("all"))):
        pca = {job for job in of_stages(jobs, "decompose") if job.endswith("/pca")}
        assert pca < of_stages(jobs, "decompose")
        assert planned == pca | of_stages(jobs, *STAGES[3:])


def test_definitions_that_nothing_uses_plan_nothing(copied: Workspace) -> None:
    # But in modules that count whole, since names don't tell what of them is used.
    whole = {"loading.py", "report.py", "stability.py", "widening.py", "reinit_depth.py", "waterfall.py"}
    for path in (path for path in (copied.sources / "src").rglob("*.py") if path.name not in whole):
        path.write_text(path.read_text() + "\n\ndef never_called():\n    return 1\n\n\nNEVER_READ = 1\n")
    assert copied.planned("all") == set()


def test_a_function_reaches_those_who_call_it_and_not_its_module(copied: Workspace, every_job: set[str]) -> None:
    path = copied.module("homolog.store.curves")
    before, reading, after = path.read_text().partition("def read_final_loss(path")
    assert "def write_curve(" in before
    path.write_text(before + reading + after.replace("float(accuracy)", "float(accuracy) + 0"))
    # Training writes curves by the same module.
    assert copied.planned("all") == of_stages(every_job, "analyse", "track", "plot", "plot_waterfall", "plot_tracks")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_figures_module_reaches_the_figure_alone(copied: Workspace, experiment: str) -> None:
    figure = copied.config["experiments"][experiment]["figure"]
    change_code(copied.module(FIGURES[figure].partition(":")[0]))
    assert copied.planned(f"results/figures/{experiment}.pdf") == {f"plot {experiment}"}


def test_the_way_of_tracking_reaches_tracks_and_what_draws_them(copied: Workspace, every_job: set[str]) -> None:
    change_code(copied.module("homolog.alignment.tracks"))
    assert copied.planned("all") == of_stages(every_job, "track", "plot", "plot_tracks")


def test_an_option_of_tracks_reaches_them_alone(copied: Workspace) -> None:
    copied.configure(lambda config: config["experiments"]["bases"].update(tracks={"null_draws": 20}))
    assert copied.planned("all") == {"track bases", "plot bases", "plot_tracks bases"}


def test_the_figure_of_training_reaches_itself_alone(copied: Workspace) -> None:
    change_code(copied.module("homolog.figures.training"))
    assert copied.planned("all") == {f"plot_training {experiment}" for experiment in EXPERIMENTS}


@pytest.mark.parametrize("stage", STAGES)
def test_a_script_reaches_its_stage_and_what_follows(copied: Workspace, every_job: set[str], stage: str) -> None:
    change_code(copied.script(stage))
    following = FOLLOWING.get(stage, STAGES[STAGES.index(stage) + 1 :])
    assert copied.planned("all") == of_stages(every_job, stage, *following)


def test_swapped_values_reach_the_model_and_what_follows(copied: Workspace) -> None:
    def swap(config: dict) -> None:
        training = config["models"]["digits_mlp_wide_64"]["training"]
        assert training["lr"] != training["weight_decay"]
        training["lr"], training["weight_decay"] = training["weight_decay"], training["lr"]

    copied.configure(swap)
    # Not its untrained counterpart, which takes no step.
    runs = [f"digits_mlp_wide_64/seed_{seed}" for seed in (0, 1)]
    of_runs = {f"{stage} {run}" for run in runs for stage in ("train", "dump_activations")} | {
        f"decompose {run}/hidden_1/pca" for run in runs
    }
    assert copied.planned("all") == of_runs | of_experiment("widening")


def test_one_more_seed_adds_its_run(copied: Workspace) -> None:
    copied.configure(lambda config: config["experiments"]["stability"]["conditions"]["retrained"]["seeds"].append(2))
    # A run's untrained counterpart is a run of its own: the `initial` of the new pairs.
    runs = ["digits_mlp_retrained/seed_2", "digits_mlp_retrained-untrained/seed_2"]
    of_runs = {f"{stage} {run}" for run in runs for stage in ("train", "dump_activations")}
    of_runs |= {f"decompose {run}/hidden_1/{name}" for run in runs for name in ("svd", "pca", "cca", "topk")}
    assert copied.planned("all") == of_runs | of_experiment("stability")


VARIMAX = '''"""Another way to take activations apart."""

from homolog.decompositions.pca import PCA


class Varimax(PCA):
    """Any method will do here."""
'''
VARIMAX_LINE = '    "varimax": "homolog.decompositions.varimax:Varimax",\n'
VARIMAX_OPTIONS = '''from typing import Literal

from homolog.config.base import Positive
from homolog.config.methods import LinearOptions


class VarimaxOptions(LinearOptions):
    """The options of the new method."""

    method: Literal["varimax"]
    """The method."""
    tolerance: Positive = 1e-4
    """An option of its own."""


'''


def declare_method(workspace: Workspace) -> None:
    """A new method enters as contributors are told: its file, its line in the registry, its class of options."""
    workspace.module("homolog.decompositions.varimax").write_text(VARIMAX)
    edits = {
        "homolog.registry": [("METHODS: dict[str, str] = {\n", VARIMAX_LINE, 1)],
        "homolog.config.decompositions": [("", VARIMAX_OPTIONS, 0), ("Annotated[", "VarimaxOptions | ", 1)],
    }
    for name, insertions in edits.items():
        path = workspace.module(name)
        head, mark, tail = path.read_text().rpartition("Decomposition: TypeAlias" if "config" in name else "METHODS")
        tail = mark + tail
        for anchor, text, count in insertions:
            tail = tail.replace(anchor, anchor + text, count) if count else text + tail
        path.write_text(head + tail)


def test_a_new_method_that_nothing_uses_plans_nothing(copied: Workspace) -> None:
    declare_method(copied)
    assert copied.planned("all") == set()
    copied.configure(lambda config: config["decompositions"].update(varimax={"method": "varimax", "n_latents": 4}))
    assert copied.planned("all") == set()
    # It is really there: an experiment that asks for it plans it, and nothing that is built already.
    copied.configure(lambda config: config["experiments"]["bases"]["decompositions"].append("varimax"))
    planned = copied.planned("all")
    assert of_stages(planned, "train", "dump_activations") == set()
    assert {job.rpartition("/")[2] for job in of_stages(planned, "decompose")} == {"varimax"}
    assert of_stages(planned, *STAGES[3:]) == of_experiment("bases")


def test_what_only_another_experiment_uses_plans_nothing_here(copied: Workspace) -> None:
    copied.configure(lambda config: config["experiments"]["widening"]["analysis"].update(null_draws=3))
    assert copied.planned(STABILITY) == set()
    assert copied.planned("all") == {"analyse widening", "plot widening", "plot_waterfall widening"}


def test_the_device_is_no_reason_and_the_threads_are(copied: Workspace, every_job: set[str]) -> None:
    copied.configure(lambda config: config.update(device="auto"))
    assert copied.planned("--cores", "1", "all") == set()
    copied.configure(lambda config: config.update(threads=2))
    assert copied.planned("all") == every_job


# What the workflow must say for all this to hold.

RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def test_every_rule_with_a_script_carries_its_spec_and_its_fingerprint() -> None:
    texts = [path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk")]
    rules = dict(match for text in texts for match in RULE.findall(text))
    assert set(rules) == {*STAGES, *JOINT, *TAKEN, *BROWSED, *EXPORTED}
    for name, body in rules.items():
        assert re.search(rf'^    script:\n        "\.\./scripts/{name}\.py"', body, re.MULTILINE), name
        params = rf'^    params:\n        spec=spec\("{name}"\),\n        code=code\("{name}"\),$'
        assert re.search(params, body, re.MULTILINE), name


def test_no_profile_takes_a_files_date_for_a_change_of_code() -> None:
    profiles = {path.parent.name: yaml.safe_load(path.read_text()) for path in ROOT.glob("profiles/*/config*.yaml")}
    assert "default" in profiles
    # Other profiles are combined with the default one, so they may leave the key out.
    for profile in [profiles["default"], *(p for p in profiles.values() if "rerun-triggers" in p)]:
        assert set(profile["rerun-triggers"]) == {"mtime", "params", "input", "software-env"}
    assert profiles["default"]["max-checksum-file-size"] >= 10**12


def test_planning_imports_no_torch(built: Workspace) -> None:
    script = "import sys; from snakemake.cli import main\ntry: main()\nfinally: print('torch:', 'torch' in sys.modules)"
    arguments = built.command("--dry-run", "all")[3:]
    done = run([sys.executable, "-c", script, *arguments], cwd=built.folder)
    assert "Nothing to be done" in done.stdout
    assert "torch: False" in done.stdout
