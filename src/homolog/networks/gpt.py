"""A small language model, to be trained here: which token comes next? Decoder-only, with norms before each part."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class GPT(nn.Module):
    """Embeddings of tokens and positions, blocks that add to the residual stream, a last norm and the logits.

    As Radford et al. (2019) have it, with embeddings in and out that aren't tied. Hook points worth naming:
    ``blocks.0`` (the stream behind a block), ``blocks.0.mlp.act`` (hidden units), ``blocks.0.attention``.
    """

    def __init__(self, vocabulary: int, length: int, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width = {width} isn't a multiple of heads = {heads}: change one of them.")
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, vocabulary, bias=False)

    def forward(
        self, input_ids: Int[Tensor, "inputs positions"], attention_mask: Tensor | None = None
    ) -> Float[Tensor, "inputs positions vocabulary"]:
        """Logits of the next token. Padding stands behind all tokens and is read by none of them: no mask is used."""
        length = self.places.num_embeddings
        if input_ids.shape[1] > length:
            raise ValueError(
                f"inputs have {input_ids.shape[1]} tokens, the network places for {length}: raise its `length`, "
                "or lower that of the data."
            )
        x = self.tokens(input_ids) + self.places.weight[: input_ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        found: Tensor = self.logits(self.norm(x))
        return found


class Block(nn.Module):
    """Attention and a multilayer perceptron, each of which reads the stream through a norm and adds to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm_2, self.mlp = nn.LayerNorm(width), MLP(width)

    def forward(self, x: Float[Tensor, "inputs positions width"]) -> Float[Tensor, "inputs positions width"]:
        x = x + self.attention(self.norm_1(x))
        found: Tensor = x + self.mlp(self.norm_2(x))
        return found


class Attention(nn.Module):
    """Each position reads those up to it, through several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "inputs positions width"]) -> Float[Tensor, "inputs positions width"]:
        query, key, value = self.read(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.write(seen.transpose(1, 2).flatten(2))
        return found


class MLP(nn.Module):
    """Four hidden units for each of the stream's, by position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "inputs positions width"]) -> Float[Tensor, "inputs positions width"]:
        found: Tensor = self.down(self.act(self.up(x)))
        return found


def gpt(vocabulary: int = 256, length: int = 128, width: int = 128, blocks: int = 2, heads: int = 4) -> GPT:
    """A model with weights drawn by torch's generator; 256 tokens are those of bytes."""
    return GPT(vocabulary, length, width, blocks, heads)
