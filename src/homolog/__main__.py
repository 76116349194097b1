"""What can be asked of homolog on the command line, beside the workflow itself?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from homolog.config import Config, ConfigError, load_config
from homolog.config.check_files import check_files
from homolog.networks.command import add_command
from homolog.results.commands import add_commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def check(options: argparse.Namespace) -> int:
    """Is the configuration right, and if not, what are all its mistakes?"""
    try:
        config = load_config(options.config)
    except ConfigError as error:
        print(error.report(), file=sys.stderr)
        return 1
    problems = check_files(config, options.config)
    if problems:
        print(ConfigError(problems).report(), file=sys.stderr)
        return 1
    counts = f"{len(config.models)} models, {len(config.decompositions)} decompositions"
    print(f"{options.config}: ok: {counts}, {len(config.experiments)} experiments")
    return 0


def schema(_: argparse.Namespace) -> int:
    """The JSON schema of config.yaml, which editors use."""
    print(json.dumps(Config.model_json_schema(), indent=2))
    return 0


def antilearning_table(options: argparse.Namespace) -> int:
    """The benchmark's numbers, pair by pair, as they stand in docs/antilearning.md."""
    from homolog.figures.antilearning_table import markdown
    from homolog.store.experiments import read_experiment

    try:
        dataset = read_experiment(options.data)
    except (OSError, ValueError) as error:
        print(f"homolog: error: {error}", file=sys.stderr)
        return 1
    print(markdown(dataset), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="homolog", description="Which features return when a layer is retrained?")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("check", help="tell all mistakes of a config.yaml at once")
    command.add_argument("config", nargs="?", default="config.yaml", help="default: config.yaml")
    command.set_defaults(run=check)
    command = commands.add_parser("schema", help="print the JSON schema of config.yaml")
    command.set_defaults(run=schema)
    command = commands.add_parser("antilearning-table", help="print the benchmark of antilearning as Markdown")
    command.add_argument("data", help="results/experiments/antilearning/antilearning.nc")
    command.set_defaults(run=antilearning_table)
    add_command(commands)
    add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
