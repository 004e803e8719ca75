"""A model of plain torch: two residual streams over two sequences of tokens, whose sum is read out."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class DuetSettings:
    """How large a duet is."""

    notes: int = 31
    beats: int = 17
    width: int = 12
    hidden: int = 20
    blocks: int = 3


class Layer(nn.Module):
    """Adds what a small network makes of the normalised stream."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Voice(nn.Module):
    """Embeds a sequence and passes it through layers."""

    def __init__(self, tokens: int, settings: DuetSettings) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, settings.width)
        self.layers = nn.ModuleList(Layer(settings.width, settings.hidden) for _ in range(settings.blocks))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


class Duet(nn.Module):
    """Scores the next note from the notes and the beats so far."""

    def __init__(self, settings: DuetSettings | None = None) -> None:
        super().__init__()
        self.config = settings or DuetSettings()
        self.upper_part = Voice(self.config.notes, self.config)
        self.lower_part = Voice(self.config.beats, self.config)
        self.head = nn.Linear(self.config.width, self.config.notes)

    def forward(self, notes: torch.Tensor, beats: torch.Tensor) -> torch.Tensor:
        return self.head(self.upper_part(notes) + self.lower_part(beats).mean(1, keepdim=True))
