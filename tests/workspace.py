"""How do tests run the real workflow without touching the checkout: on a copy, in a folder of its own?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "tiny.yaml"
SOURCES = ("Snakefile", "profiles", "workflow", "src", "environment.yml", ".gitignore")
STAGES = (
    "train", "dump_activations", "decompose", "analyse", "track", "plot", "plot_waterfall", "plot_training",
    "plot_tracks",
)  # fmt: skip
# Further ones, of experiments that decompose all runs together; the tiny configuration has none.
JOINT = ("decompose_jointly", "plot_crosscoder")
# And those of runs that others trained, or that are known by their modules.
TAKEN = ("take_activations", "take_dictionaries", "train_network", "dump_network")
# And one that is asked for by the path of what it makes.
BROWSED = ("atlas",)
# And those that make what others load.
EXPORTED = ("export", "export_tracks")

# The message of each rule, which is all that a dry run shows of a job's wildcards.
_RUN = r"(?P<model>[\w.-]+), seed (?P<seed>\d+)"
_MESSAGES = {
    "train": rf"train {_RUN}",
    "dump_activations": rf"dump activations of {_RUN}",
    "train_network": rf"train the network {_RUN}",
    "dump_network": rf"dump activations of the network {_RUN}",
    "decompose": rf"decompose (?P<hook_point>[\w.]+) of {_RUN}, by (?P<decomposition>\w+)",
    "take_activations": rf"take activations of {_RUN}",
    "take_dictionaries": rf"take (?P<hook_point>[\w.]+) of {_RUN}, as (?P<decomposition>\w+)",
    "analyse": r"compare the runs of (?P<experiment>\w+) \(\w+\)",
    "track": r"track the latents of (?P<experiment>\w+)",
    "plot": r"draw results/figures/(?P<experiment>\w+)\.pdf",
    "plot_waterfall": r"draw the waterfall of (?P<experiment>\w+)",
    "plot_training": r"draw the training of (?P<experiment>\w+)",
    "plot_tracks": r"draw the tracks of (?P<experiment>\w+)",
    "decompose_jointly": r"decompose the runs of (?P<experiment>\w+) together, by (?P<decomposition>\w+)",
    "plot_crosscoder": r"draw what the runs of (?P<experiment>\w+) share",
    "atlas": r"make the atlas of (?P<experiment>\w+)",
    "export": rf"export (?P<decomposition>\w+) at (?P<hook_point>[\w.]+) of {_RUN}, with what (?P<experiment>\w+) says",
    "export_tracks": r"export the tracks of (?P<experiment>\w+) as (?P<kind>\w+)",
}
_NAMES = {
    "train": "{model}/seed_{seed}",
    "dump_activations": "{model}/seed_{seed}",
    "train_network": "{model}/seed_{seed}",
    "dump_network": "{model}/seed_{seed}",
    "decompose": "{model}/seed_{seed}/{hook_point}/{decomposition}",
    "take_activations": "{model}/seed_{seed}",
    "take_dictionaries": "{model}/seed_{seed}/{hook_point}/{decomposition}",
    "analyse": "{experiment}",
    "track": "{experiment}",
    "plot": "{experiment}",
    "plot_waterfall": "{experiment}",
    "plot_training": "{experiment}",
    "plot_tracks": "{experiment}",
    "decompose_jointly": "{experiment}/{decomposition}",
    "plot_crosscoder": "{experiment}",
    "atlas": "{experiment}",
    "export": "{experiment}/{model}/seed_{seed}/{hook_point}/{decomposition}",
    "export_tracks": "{experiment}/{kind}",
}


@dataclass(frozen=True)
class Workspace:
    """A copy of the repository's sources, and a working folder with config.yaml, results and Snakemake's records."""

    sources: Path
    folder: Path

    @classmethod
    def of(cls, root: Path) -> Workspace:
        """The one that stands at `root`, or shall stand there."""
        return cls(root / "sources", root / "folder")

    @classmethod
    def fresh(cls, root: Path, sources: Path = ROOT) -> Workspace:
        """A copy of `sources`, and a folder with the tiny configuration alone."""
        new = cls.of(root)
        new.sources.mkdir(parents=True)
        new.folder.mkdir()
        for name in SOURCES:
            _copy(sources / name, new.sources / name)
        shutil.copy2(TINY, new.folder / "config.yaml")
        return new

    def copy(self, root: Path) -> Workspace:
        """A copy of everything, modification times included."""
        new = Workspace.of(root)
        _copy(self.sources, new.sources)
        _copy(self.folder, new.folder)
        return new

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def python_files(self) -> list[Path]:
        """Every module and script."""
        return sorted([*(self.sources / "src").rglob("*.py"), *(self.sources / "workflow" / "scripts").glob("*.py")])

    def module(self, name: str) -> Path:
        """The file of a module such as ``homolog.decompositions.pca``."""
        return (self.sources / "src").joinpath(*name.split(".")).with_suffix(".py")

    def script(self, stage: str) -> Path:
        return self.sources / "workflow" / "scripts" / f"{stage}.py"

    @property
    def config(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.folder / "config.yaml").read_text()))

    def configure(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Apply `change` to the configuration in place."""
        config = self.config
        change(config)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def command(self, *arguments: str | Path) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", self.sources / "Snakefile"]
        return [str(part) for part in (*snakemake, "--directory", self.folder, *arguments)]

    def snakemake(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the folder to its end, whatever that is; stderr comes with stdout."""
        return run(self.command(*arguments), cwd=self.folder, **options)

    def build(self, *arguments: str | Path) -> None:
        """Run Snakemake, which must succeed."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout

    def planned(self, *arguments: str | Path) -> set[str]:
        """The jobs of a dry run, such as ``decompose digits_mlp/seed_0/hidden_1/pca``."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return parse_plan(done.stdout, targets={"all", *self.config["experiments"]})


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing in its environment that would point it at another checkout or profile."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.run(command, check=False, **{"env": environment(), "timeout": 600, **streams, **options})


def environment() -> dict[str, str]:
    foreign = ("PYTHONPATH", "SNAKEMAKE_", "GIT_")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def private_mounts() -> list[str] | None:
    """The start of a command that has mounts of its own; None where this user may not mount anything."""
    for private in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        command = [*private, "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
        if sys.platform == "linux" and shutil.which("unshare") and run(command).returncode == 0:
            return private
    return None


def parse_plan(output: str, targets: set[str]) -> set[str]:
    """Jobs named in the output of a dry run; fails unless they are exactly those that its table counts."""
    found = []
    for message in re.findall(r"^Job \d+: (.*)$", output, re.MULTILINE):
        matches = {rule: re.fullmatch(pattern, message) for rule, pattern in _MESSAGES.items()}
        found += [(rule, _NAMES[rule].format(**match.groupdict())) for rule, match in matches.items() if match]
    counted = _table(output)
    assert Counter(rule for rule, _ in found) == {rule: n for rule, n in counted.items() if rule not in targets}, output
    return {f"{rule} {name}" for rule, name in found}


def _table(output: str) -> dict[str, int]:
    """Jobs by rule in the table "Job stats"; empty where Snakemake says that nothing is to be done."""
    if "Nothing to be done" in output:
        return {}
    table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total +(\d+)$", output, re.MULTILINE | re.DOTALL)
    assert table, f"neither a table of jobs nor 'Nothing to be done':\n{output}"
    counts = {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}
    assert sum(counts.values()) == int(table[2])
    return counts


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    else:
        shutil.copy2(source, target)
