"""A transformer whose weights were set by hand, so that what each head does is known and not guessed.

It continues a pattern it has seen: after `... A B ... A` it says B. A head in layer 0 copies the token before each
position; a head in layer 1 looks for the position whose copy is the current token, reading it by K-composition, and
writes the token found there, through a known map, to where the unembedding reads. All other weights are small noise.

The stream is four spaces side by side: token (one-hot), position (one-hot), token before, answer.
(Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits",
https://transformer-circuits.pub/2021/framework/index.html.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCAB, LENGTH = 8, 16
HEADS, D_HEAD, D_MLP = 3, 16, 12
# the spaces of the stream, as slices of d_model
TOKEN = slice(0, VOCAB)
POSITION = slice(VOCAB, VOCAB + LENGTH)
BEFORE = slice(VOCAB + LENGTH, 2 * VOCAB + LENGTH)
ANSWER = slice(2 * VOCAB + LENGTH, 3 * VOCAB + LENGTH)
D_MODEL = 3 * VOCAB + LENGTH


@dataclass(frozen=True)
class Facts:
    """What is true of the planted model.

    Heads are (layer, head). token_map: by token found, the token whose logit the induction head raises. gain: how
    much of a logit the induction head writes per unit of attention. sharpness: how far the score of the right key lies
    above the others.
    """

    previous_head: tuple[int, int] = (0, 1)
    induction_head: tuple[int, int] = (1, 2)
    composition: str = "k"
    token_map: tuple[int, ...] = tuple(range(VOCAB))
    gain: float = 6.0
    sharpness: float = 6.0


@dataclass(frozen=True)
class Planted:
    """The model, what is true of it, and sequences that end with a token seen before.

    clean: `[4, 12]` token ids; the last token stands also at `source - 1`, and the token at `source` followed it.
    corrupted: the same, but the earlier occurrence is another token, so that nothing is to be continued.
    answers: the right next token of each clean row, through the token map; wrong: a token that is in neither answer.
    """

    model: nn.Module
    facts: Facts
    clean: Tensor
    corrupted: Tensor
    answers: Tensor
    wrong: Tensor
    source: int


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(D_MODEL, HEADS * D_HEAD, bias=False) for _ in range(3))
        self.o = nn.Linear(HEADS * D_HEAD, D_MODEL, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (HEADS, D_HEAD)).transpose(1, 2) for f in (self.q, self.k, self.v))
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)
        return self.o(z.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(D_MODEL, D_MLP), nn.Linear(D_MLP, D_MODEL)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.gelu(self.up(x)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.mlp(x)


class PlantedTransformer(nn.Module):
    """Token ids `[batch, pos]` to logits `[batch, pos, vocab]`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, D_MODEL)
        self.positions = nn.Embedding(LENGTH, D_MODEL)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.unembed = nn.Linear(D_MODEL, VOCAB, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)


@torch.no_grad()
def planted(*, shift: int = 0, noise: float = 0.02, seed: int = 0) -> Planted:
    """Return the model with its facts and four sequences.

    shift: the token map takes token t to t + shift (modulo the vocabulary); 0 copies. noise: the standard deviation of
    every weight that is not part of the circuit; with 0 the other heads and the MLPs write exactly nothing.
    """
    facts = Facts(token_map=tuple((token + shift) % VOCAB for token in range(VOCAB)))
    generator = torch.Generator().manual_seed(seed)
    model = PlantedTransformer()
    for weight in model.parameters():
        weight.normal_(0, noise, generator=generator) if noise else weight.zero_()
    _embeddings(model)
    _previous_token_head(model, facts)
    _induction_head(model, facts)
    return Planted(model.eval(), facts, *_sequences(facts, generator))


def _embeddings(model: PlantedTransformer) -> None:
    for table, space in ((model.embed, TOKEN), (model.positions, POSITION)):
        table.weight.zero_()
        table.weight[:, space] = torch.eye(table.num_embeddings)
    model.unembed.weight.zero_()
    model.unembed.weight[:, ANSWER] = torch.eye(VOCAB)


def _rows(head: int, size: int) -> slice:
    """Return where the first `size` dimensions of a head lie among those of all heads."""
    return slice(head * D_HEAD, head * D_HEAD + size)


def _cleared(attention: Attention, head: int) -> None:
    rows = _rows(head, D_HEAD)
    for linear in (attention.q, attention.k, attention.v):
        linear.weight[rows] = 0
    attention.o.weight[:, rows] = 0


def _previous_token_head(model: PlantedTransformer, facts: Facts) -> None:
    layer, head = facts.previous_head
    attention = model.blocks[layer].attn
    _cleared(attention, head)
    one_later = facts.sharpness * torch.eye(LENGTH, LENGTH).roll(1, dims=1)
    attention.q.weight[_rows(head, LENGTH), POSITION] = (
        one_later  # dimension p is what position p + 1 asks for
    )
    attention.k.weight[_rows(head, LENGTH), POSITION] = torch.eye(LENGTH)
    attention.v.weight[_rows(head, VOCAB), TOKEN] = torch.eye(VOCAB)
    attention.o.weight[BEFORE, _rows(head, VOCAB)] = torch.eye(VOCAB)


def _induction_head(model: PlantedTransformer, facts: Facts) -> None:
    layer, head = facts.induction_head
    attention = model.blocks[layer].attn
    _cleared(attention, head)
    attention.q.weight[_rows(head, VOCAB), TOKEN] = facts.sharpness * torch.eye(VOCAB)
    attention.k.weight[_rows(head, VOCAB), BEFORE] = torch.eye(VOCAB)
    attention.k.weight[
        _rows(head, VOCAB), POSITION.start
    ] = -1  # position 0 has copied itself, having none before
    attention.v.weight[_rows(head, VOCAB), TOKEN] = torch.eye(VOCAB)
    answer = facts.gain * torch.eye(VOCAB)[:, list(facts.token_map)].T  # row: token found; column: its answer
    attention.o.weight[ANSWER, _rows(head, VOCAB)] = answer.T


def _sequences(facts: Facts, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Return clean and corrupted ids, right and wrong answers, and the position that is to be found."""
    rows, length, source = 4, 12, 5
    clean, corrupted = torch.zeros(2, rows, length, dtype=torch.long)
    answers, wrong = torch.zeros(2, rows, dtype=torch.long)
    for row in range(rows):
        seen, follows, instead, *others = torch.randperm(VOCAB, generator=generator).tolist()
        filler = torch.tensor(others)[torch.randint(len(others) - 1, (length,), generator=generator)]
        for ids, earlier in ((clean, seen), (corrupted, instead)):
            ids[row] = filler
            ids[row, source - 1], ids[row, source], ids[row, -1] = earlier, follows, seen
        answers[row], wrong[row] = facts.token_map[follows], facts.token_map[others[-1]]
    return clean, corrupted, answers, wrong, source
