"""Has a network embeddings for all that a corpus feeds it?"""

from __future__ import annotations

from torch import nn

from homolog.corpora.base import Corpus, check_vocabulary
from homolog.networks.network import Network


def check_embeddings(network: Network, corpus: Corpus) -> None:
    """Raise ValueError, one line, unless tokens and positions fit a model that says what it has embeddings for."""
    embeddings = getattr(network.module, "get_input_embeddings", lambda: None)()
    if isinstance(embeddings, nn.Embedding):
        check_vocabulary(corpus, embeddings.num_embeddings, network.name)
    most = getattr(getattr(network.module, "config", None), "max_position_embeddings", None)
    if isinstance(most, int) and corpus.vocabulary is not None and (corpus.positions or 0) > most:
        raise ValueError(
            f"{network.name}: inputs have {corpus.positions} positions, and the model embeddings for {most}: set "
            f"`length` to {most} at most."
        )
