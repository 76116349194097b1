"""Which modules has a network, and from which files does that follow? Asked in a process of its own, which loads it.

``python -m homolog.networks.answering ANSWER`` reads a question from stdin (`asking`) and writes the answer to a file:
what a network's own code prints goes nowhere.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homolog.networks.seen import Seen

# Inputs of the batch in which hook points are seen.
INPUTS = 2


def see(network: dict[str, Any], corpus: dict[str, Any]) -> dict[str, Seen]:
    """The modules of a network in one batch of a corpus, both as specs have them.

    Raises ValueError, one line, for what can't be loaded, and where the network fails on what it is fed.
    """
    import torch

    from homolog.loading import build
    from homolog.networks.embeddings import check_embeddings

    fed = build(corpus).corpus()
    batch = fed.batches(torch.arange(min(INPUTS, fed.inputs)))
    asked = build(network).to("cpu")
    check_embeddings(asked, fed)
    return asked.seen_on(batch)  # type: ignore[no-any-return]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The modules, and the files of all code that isn't a library's; or what is wrong."""
    try:
        modules = [asdict(one) for one in see(question["network"], question["corpus"]).values()]
    except Exception as error:  # Whatever code and data of others raise; ours says it in one line.
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return {"problem": kind + " ".join(str(error).split())}
    return {"modules": modules, "files": _files(str(question["network"].get("function", "")))}


def _files(function: str) -> list[str]:
    """Files of loaded modules: homolog's, those of the package of `function`, and all that belong to no library."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own = {"homolog", function.partition(":")[0].partition(".")[0]}
    found = set()
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and (name.partition(".")[0] in own or not any(path.startswith(f"{one}/") for one in libraries)):
            found.add(path)
    return sorted(path for path in found if Path(path).is_file())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(answer(json.load(sys.stdin))))
