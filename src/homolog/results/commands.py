"""What can be asked on the command line of the files in results/, and of what they depend on?"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from homolog.jobs.folders import from_future
from homolog.provenance import Code
from homolog.results.planned import SNAKEFILE, planned
from homolog.results.prune import FOLDERS, remove, unwanted

SOURCES = SNAKEFILE.parent / "src"
SCRIPTS = SNAKEFILE.parent / "workflow" / "scripts"


def verify(options: argparse.Namespace) -> int:
    """Is every file what the config asks for now, and if not, what has changed?"""
    from homolog.results.verify import CURRENT, MISSING, verify, with_inputs

    with planned(options.snakefile, options.configfile) as plan:
        findings = with_inputs(plan.jobs, verify(plan.jobs))
    for finding in findings:
        if finding.status not in (CURRENT, MISSING):
            print(f"{finding.path}: {finding.status}: {finding.reason}")
    counts = Counter(finding.status for finding in findings)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing is planned")
    return 0 if set(counts) <= {CURRENT, MISSING} else 1


def adopt(options: argparse.Namespace) -> int:
    """Tell Snakemake what the files say of themselves."""
    from homolog.results.adopt import adopt
    from homolog.results.verify import CURRENT, MISSING, verify

    for path in from_future(Path("results") / name for name in FOLDERS):
        os.utime(path)
    with planned(options.snakefile, options.configfile) as plan:
        findings = verify(plan.jobs)
        adopt(plan, findings)
    files = [finding for of_job in findings for finding in of_job]
    others = [finding for finding in files if finding.status not in (CURRENT, MISSING)]
    for finding in others:
        print(f"{finding.path}: {finding.status}: {finding.reason}: will be built again")
    print(f"{sum(finding.status == CURRENT for finding in files)} adopted, {len(others)} not")
    return 0


def prune(options: argparse.Namespace) -> int:
    """List the files that no experiment wants, or remove them."""
    with planned(options.snakefile, options.configfile) as plan:
        found = unwanted(plan.jobs)
    for path in found:
        print(path)
    if options.yes:
        remove(found)
    what = "removed" if options.yes or not found else "can go: add --yes to remove them"
    print(f"{len(found)} files {what}")
    return 0


def reseal(options: argparse.Namespace) -> int:
    """Take files as they are now for what they should be."""
    from homolog.store.checksums import ATTRIBUTE, is_intact, seal

    for path in options.files:
        if is_intact(path) is None:
            print(f"homolog: error: {path} carries no {ATTRIBUTE}: it isn't an array file or figure of homolog.")
            return 1
        seal(path)
    return 0


def explain_code(options: argparse.Namespace) -> int:
    """Which modules can a stage's jobs reach, how much of them, and which count whole because names don't tell?"""
    code = Code.read(SOURCES, sorted(SCRIPTS.glob("*.py")))
    script = f"{options.stage}.py"
    if script not in code.modules:
        known = sorted(path.stem for path in SCRIPTS.glob("*.py"))
        print(f"homolog: error: {options.stage!r} is no stage; there are {', '.join(known)}.")
        return 1
    reach = code.reach(script, options.target)
    print(code.fingerprint(script, options.target))
    for name in sorted(reach.imported):
        part = f"{len(reach.statements.get(name, ()))} of {len(code.modules[name].statements)} statements"
        print(f"{name}: {f'whole, since {reach.whole[name]}' if name in reach.whole else part}")
    return 0


def times(options: argparse.Namespace) -> int:
    """Where did the time go, by rule?"""
    from homolog.results.times import draw, headline, read_times, table

    try:
        found = read_times(options.results, sorted(path.stem for path in SCRIPTS.glob("*.py")))
    except ValueError as error:
        print(f"homolog: error: {error}")
        return 1
    print(table(found).to_string(float_format="{:.2f}".format), headline(found), sep="\n\n")
    if options.figure:
        draw(found).savefig(options.figure)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to a command line."""
    told = {
        "verify": ("tell which files of results/ are current, stale, corrupt or of unknown making", verify),
        "adopt": ("let Snakemake know of files that were built elsewhere, so that current ones stay", adopt),
        "prune": ("list files of results/ that no experiment wants", prune),
    }
    for name, (text, function) in told.items():
        where = f"In the folder of config.yaml and results/: {text}."
        command = commands.add_parser(name, help=text, description=where)
        command.add_argument("--snakefile", type=Path, default=SNAKEFILE, help=argparse.SUPPRESS)
        command.add_argument("--configfile", type=Path, nargs="*", default=[], help="as for snakemake")
        command.set_defaults(run=function)
        if name == "prune":
            command.add_argument("--yes", action="store_true", help="remove them")
    command = commands.add_parser("seal", help="take files that were changed on purpose for what they should be")
    command.add_argument("files", type=Path, nargs="+")
    command.set_defaults(run=reseal)
    command = commands.add_parser("explain-code", help="tell what code the jobs of a stage can reach")
    command.add_argument("stage", help="such as decompose")
    command.add_argument("target", nargs="*", help="what a spec names, such as homolog.decompositions.pca:PCA")
    command.set_defaults(run=explain_code)
    command = commands.add_parser("times", help="tell by rule what the jobs behind results/ took")
    command.add_argument("results", type=Path, nargs="?", default=Path("results"), help="default: results")
    command.add_argument("--figure", type=Path, help="draw it, too: a name that ends in .pdf, .png or .svg")
    command.set_defaults(run=times)
