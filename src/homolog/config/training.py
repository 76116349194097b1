"""How are weights found, and what may they start from?"""

from __future__ import annotations

from typing import Literal

from homolog.config.base import Count, NonNegative, Options, Positive, Reference, Seed


class TrainingOptions(Options):
    """The optimiser and how long it runs."""

    steps: Count
    """Optimiser steps, each on one batch."""
    batch_size: Count = 128
    """Training rows per step."""
    optimizer: Literal["adamw"] = "adamw"
    """The optimiser: AdamW (Loshchilov & Hutter, 2019)."""
    lr: Positive = 3.0e-3
    """Learning rate."""
    weight_decay: NonNegative = 1.0e-2
    """Decoupled weight decay."""
    log_every: Count = 50
    """Steps between two points of the loss curve."""


class Parent(Options):
    """The finished run that a retrained model starts from."""

    model: Reference
    """Name of a model in this file."""
    seed: Seed
    """Which of its runs."""
