"""How are weights drawn at random, all of a network's or those of some of its modules, by a key of their own?"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from homolog.networks.network import Network
from homolog.networks.points import find
from homolog.streams import stream


@contextmanager
def drawn_by(*key: str | int) -> Iterator[None]:
    """Within, torch's own generator, which others' code draws from, depends on `key` alone; behind, it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(*key).initial_seed())
        yield


def redraw(network: Network, names: Sequence[str], *key: str | int) -> set[str]:
    """Draw the parameters of modules anew, as the network itself does at its start; returns which ones these are.

    `names` are modules, globs of them, or single parameters. What draws is the network's own ``_init_weights``, as
    networks of transformers have it, else ``reset_parameters`` of each module. Buffers, such as the statistics of a
    batch norm, begin anew with a module that is named, and stay where one of its parameters alone is. Raises ValueError
    for names that lead nowhere, and for modules that can't be drawn.
    """
    wanted = {name for text in names for name in _meant(network.module, text)}
    drawn = [name for name, _ in network.module.named_parameters() if name in wanted]
    held = {name: copy.deepcopy(one.data) for name, one in _tensors(network.module).items() if name not in wanted}
    with drawn_by(*key), torch.no_grad():
        for name in dict.fromkeys(one.rpartition(".")[0] for one in drawn):
            _draw(network, name)
        # A module is drawn whole.
        for name, tensor in _tensors(network.module).items():
            if name in held:
                tensor.data.copy_(held[name])
    return set(drawn)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters, and buffers."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _meant(module: nn.Module, text: str) -> list[str]:
    """What a name means: a parameter, or all parameters and buffers of a module and of those within it."""
    every = [name for name, _ in module.named_parameters()]
    if text in every:
        return [text]
    modules = [point.module for point in find(text, dict(module.named_modules()))]
    found = [one for one in _tensors(module) if any(one.startswith(f"{name}.") for name in modules)]
    if not set(found) & set(every):
        raise ValueError(f"{text} has no parameters, so there is nothing to draw anew: name a module that has some.")
    return found


def _draw(network: Network, name: str) -> None:
    part = network.module.get_submodule(name)
    own: list[Tensor] = list(part.parameters(recurse=False))
    whole = getattr(network.module, "_init_weights", None)
    if callable(whole):
        for parameter in own:
            # transformers leaves alone what it has read from a file.
            parameter.__dict__.pop("_is_hf_initialized", None)
        whole(part)
    elif callable(reset := getattr(part, "reset_parameters", None)):
        reset()
    else:
        raise ValueError(
            f"{network.name}: {name} is a {type(part).__name__}, which has no reset_parameters(), so it can't be drawn "
            "anew: give its class one, or name other modules."
        )
