"""How may activations be decomposed? (Every method with its options, in the order of the registry; and given ones.)"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from homolog.config.given import GivenOptions
from homolog.config.methods import (
    CCAOptions,
    DecompositionOptions,
    DictionaryLearningOptions,
    ICAOptions,
    KMeansOptions,
    NMFOptions,
    PCAOptions,
    SVCCAOptions,
    SVDOptions,
)
from homolog.config.sparse_autoencoders import (
    ArchetypalOptions,
    BatchTopKOptions,
    CrosscoderOptions,
    GatedOptions,
    JumpReLUOptions,
    MatchingPursuitOptions,
    MatryoshkaOptions,
    ReLUOptions,
    TopKOptions,
)

__all__ = ["Decomposition", "DecompositionOptions"]

Classical: TypeAlias = (
    SVDOptions
    | PCAOptions
    | CCAOptions
    | SVCCAOptions
    | ICAOptions
    | NMFOptions
    | KMeansOptions
    | DictionaryLearningOptions
)
SparseAutoencoder: TypeAlias = (
    ReLUOptions
    | TopKOptions
    | BatchTopKOptions
    | JumpReLUOptions
    | GatedOptions
    | MatryoshkaOptions
    | MatchingPursuitOptions
    | ArchetypalOptions
    | CrosscoderOptions
)
Fitted: TypeAlias = Classical | SparseAutoencoder
Decomposition: TypeAlias = Annotated[Classical | SparseAutoencoder | GivenOptions, Field(discriminator="method")]
