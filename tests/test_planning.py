"""What does a plan ask of Snakemake: jobs that share nothing by accident, and no more functions than it takes?"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from workspace import ROOT, Workspace, environment, run

from homolog.config import ConfigError, parse_config
from homolog.planning import Plan

# Two models whose runs were recorded in the same files, and a second one of which dictionaries are given.
EXTERNAL = {"external": {"activations": "data/run_{seed}.npz", "hook_points": ["resid"], "n_test": 300}}
RULES = (ROOT / "workflow" / "rules").glob("*.smk")
DUMP = """
import json, sys
from homolog.results.planned import planned
with planned() as plan:
    jobs = [[job.rule, job.spec, job.code, job.inputs, job.outputs] for job in plan.jobs]
print(json.dumps(jobs))
"""


def take_runs_of_others(config: dict[str, Any]) -> None:
    config["models"].update(theirs=EXTERNAL, twins=EXTERNAL)
    config["decompositions"]["given"] = {"method": "given", "path": "data/dictionary_{seed}.npz"}
    config["experiments"]["recorded"] = {
        "analysis": {"name": "stability", "null_draws": 2},
        "figure": "stability",
        "hook_points": ["resid"],
        "decompositions": ["pca", "given"],
        "conditions": {name: {"models": [name], "seeds": [0, 1]} for name in ("theirs", "twins")},
    }


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """Rule, spec, code, inputs and outputs of all jobs of the tiny configuration and of runs that others recorded."""
    workspace = Workspace.fresh(tmp_path_factory.mktemp("planning"))
    data = workspace.folder / "data"
    data.mkdir()
    for seed in (0, 1):
        rows = np.random.default_rng(seed).normal(size=(400, 6)).astype(np.float32)
        np.savez(data / f"run_{seed}.npz", resid=rows)
        np.savez(data / f"dictionary_{seed}.npz", encoder=rows[:4], directions=rows[:4])
    workspace.configure(take_runs_of_others)
    variables = {**environment(), "PYTHONPATH": str(workspace.sources / "src")}
    done = run([sys.executable, "-c", DUMP], cwd=workspace.folder, env=variables)
    assert done.returncode == 0, done.stdout
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_jobs_that_differ_in_a_wildcard_alone_share_nothing(jobs: list[list[Any]]) -> None:
    # What a cache between workflows goes by: params, files that nothing makes, and the same of what makes the others.
    makers = {path: job for job in jobs for path in job[4]}
    keys: dict[str, str] = {}

    def key(path: str) -> str:
        if path not in makers:
            return path
        rule, spec, code, inputs, outputs = makers[path]
        if outputs[0] not in keys:
            keys[outputs[0]] = json.dumps([rule, spec, code, sorted(map(key, inputs))])
        return f"{outputs.index(path)} of {keys[outputs[0]]}"

    of_files = {path: key(path) for path in makers}
    assert len(set(of_files.values())) == len(of_files)
    assert {"take_activations", "take_dictionaries", "dump_activations"} <= {job[0] for job in jobs}


def test_no_rule_is_offered_to_a_cache_between_workflows() -> None:
    texts = [path.read_text() for path in (*RULES, *ROOT.glob("profiles/*/config.yaml"))]
    assert len(texts) > 5
    assert not [text for text in texts if re.search(r"^ *cache:", text, re.MULTILINE)]


# Resources and groups

TOY = f"""
include: "{ROOT}/workflow/rules/resources.smk"


def never(wildcards):
    return False


rule first:
    output: "first"
    group: together("some")
    resources: mem_mb=growing(100)
    message: "first asks for {{resources.mem_mb}} MB"
    shell: "true"

rule second:
    input: "first"
    output: "second"
    group: together("some", only=never)
    resources: mem_mb=growing(10)
    message: "second asks for {{resources.mem_mb}} MB"
    shell: "true"

rule third:
    input: "second"
    output: "third"
    group: together("others")
    shell: "true"
"""


# What Snakemake itself passes on at a second attempt.
QUEUE = ("--jobs", "2", "--attempt", "2", "--group-components", "some=3")


@pytest.mark.parametrize(("options", "asked"), [((), ("100", "10")), (QUEUE, ("200", "20"))], ids=["here", "queue"])
def test_what_grows_and_goes_together_does_so_where_jobs_are_submitted(
    tmp_path: Path, options: tuple[str, ...], asked: tuple[str, str]
) -> None:
    (tmp_path / "Snakefile").write_text(TOY)
    done = run([sys.executable, "-m", "snakemake", "third", "--dry-run", *options], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    told = re.findall(r"(first|second) asks for (\d+) MB", done.stdout)
    assert sorted(told) == [("first", asked[0]), ("second", asked[1])]
    assert re.findall(r"Group job (\w+)", done.stdout) == (["some"] if options else [])


@pytest.mark.slow
def test_the_floor_of_the_benchmark_has_the_same_jobs(tmp_path: Path) -> None:
    done = run([sys.executable, ROOT / "benchmarks" / "planning.py", "--jobs", "900"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    ours, bare = re.search(r"^(\d+) jobs, (\d+) in the bare Snakefile$", done.stdout, re.MULTILINE).groups()
    assert ours == bare
    assert int(ours) > 900


def test_a_collection_is_a_target_that_builds_its_members():
    mapping = yaml.safe_load((ROOT / "tests" / "tiny.yaml").read_text())
    made = {"analysis": {"name": "superposition"}, "figure": "superposition"}
    mapping["experiments"] |= {
        "one": made | {"collections": ["toys", "few"]},
        "other": made | {"collections": ["toys"]},
    }
    targets = Plan(parse_config(mapping)).targets()
    assert targets["toys"] == ["one", "other"]
    assert targets["few"] == targets["one"] == ["one"]
    mapping["experiments"]["one"]["collections"] = ["traps"]
    with pytest.raises(ConfigError, match=r"collections: 'traps', which is the name of a rule or an experiment"):
        parse_config(mapping)
