"""Which members train as one program on a GPU?"""

from __future__ import annotations

from homolog.decompositions.base import Member
from homolog.decompositions.sae.base import SparseAutoencoder
from homolog.decompositions.sae.gpu.step import gpu_step_of

# Members that small autoencoders train by.
STACKED = 8
# Pre-activations from which on one member keeps a GPU busy: in 512 units their product takes some 20 microseconds, many
# times what it takes to start a kernel. Counted, not measured.
BUSY = 2**24


def blocks(recipe: SparseAutoencoder, members: list[Member]) -> list[list[int]]:
    """Blocks of members of equal shape, by index; members that have no stacked step are in none.

    How many make a block depends on their shape alone, and one that isn't full is filled up with its last member, whose
    copies' results nobody takes: so a member's program, and its bits, don't depend on how many others there are.
    """
    alike: dict[str, list[int]] = {}
    sizes: dict[str, int] = {}
    for i, member in enumerate(members):
        options = member.options
        step = gpu_step_of(recipe, options)
        if step is None:
            continue
        batch = min(options["batch_size"], member.activations.samples)
        shared = {name: value for name, value in options.items() if name not in step.varying}
        key = repr((sorted(shared.items()), step.kind(options), batch))
        alike.setdefault(key, []).append(i)
        sizes[key] = max(1, min(STACKED, BUSY // (batch * options["n_latents"])))
    parts = [(g[i : i + sizes[key]], sizes[key]) for key, g in alike.items() for i in range(0, len(g), sizes[key])]
    return [part + [part[-1]] * (size - len(part)) for part, size in parts]
