"""What can be asked on the command line of a model's hook points?"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from homolog.config import Config, ConfigError
from homolog.config.reading import load_model
from homolog.networks.answering import INPUTS, see
from homolog.planning import Plan, Run

if TYPE_CHECKING:
    from homolog.networks.seen import Seen


def hook_points(options: argparse.Namespace) -> int:
    """Which hook points does a model have, of what classes and shapes?"""
    from homolog.networks.listing import as_table, list_hook_points

    try:
        config = load_model(options.config, options.model)
        rows = list_hook_points(_seen(config, Run(options.model, options.seed)), options.names)
    except ConfigError as error:
        print(error.report(), file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"homolog: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(as_table(rows))
    return 0


def _seen(config: Config, run: Run) -> dict[str, Seen]:
    """The modules of a run in one batch. Of models that are trained here the weights don't matter."""
    from homolog.loading import build
    from homolog.models.build import build_model
    from homolog.networks.network import Network

    if config.external(run.model):
        raise ValueError(f"others recorded {run.model}: its hook points are those of its files; there is no network.")
    if config.network(run.model):
        spec = json.loads(Plan(config).spec("dump_network", run=run))
        return see(spec["network"], spec["corpus"])
    spec = json.loads(Plan(config).spec("dump_activations", run=run))
    data = build(spec["task"]).data()
    model = build_model(spec["architecture"], *data.sizes)
    return Network(model, run.model).to("cpu").seen_on(data.inputs[:INPUTS])


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add it to a command line."""
    told = "print a model's hook points: names, classes and shapes of a batch of two inputs"
    command = commands.add_parser("hook-points", help=told)
    command.add_argument("model", help="name of a model in config.yaml")
    command.add_argument("names", nargs="*", help="names or globs, such as 'encoder.layer.*.output'; default: all")
    command.add_argument("--config", default="config.yaml", help="default: config.yaml")
    command.add_argument("--seed", type=int, default=0, help="which run; default: 0")
    command.set_defaults(run=hook_points)
