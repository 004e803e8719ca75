"""Films, proteins, series, and recurrent networks."""

from typing import Any

import torch
from torch import nn

from tests.models.common import BATCH, HEADS, HIDDEN, POSITIONS, WIDTH, Made

_SHAPE = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
}
FILM = {"image_size": 20, "patch_size": 4, "num_frames": 6, "tubelet_size": 2}  # 3 by 5 by 5 tubelets


def videomae() -> Made:
    import transformers

    config = transformers.VideoMAEConfig(**_SHAPE, **FILM)
    model = transformers.VideoMAEForVideoClassification(config).eval()
    return model, {"pixel_values": torch.randn(BATCH, 6, 3, 20, 20)}


def videomae_pretraining() -> Made:
    """An encoder that sees two thirds of the tubelets, and a decoder of another width that sees all."""
    import transformers

    decoder = {"decoder_num_attention_heads": 2, "decoder_hidden_size": 16, "decoder_num_hidden_layers": 3}
    config = transformers.VideoMAEConfig(**_SHAPE, **FILM, **decoder, decoder_intermediate_size=28)
    model = transformers.VideoMAEForPreTraining(config).eval()
    mask = (torch.arange(75) % 3 == 1).repeat(BATCH, 1)
    return model, {"pixel_values": torch.randn(BATCH, 6, 3, 20, 20), "bool_masked_pos": mask}


def esm() -> Made:
    import transformers

    ends = {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32, "max_position_embeddings": 40}
    config = transformers.EsmConfig(**_SHAPE, **ends, position_embedding_type="rotary")
    ids = torch.randint(4, 24, (BATCH, 11))
    ids[:, 0], ids[:, -1] = 0, 2
    return transformers.EsmForMaskedLM(config).eval(), {"input_ids": ids}


def patchtst() -> Made:
    """Five channels of 26 steps, cut into six patches of six steps that overlap by two."""
    import transformers

    shape = {"d_model": WIDTH, "ffn_dim": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS}
    settings: dict[str, Any] = {"num_input_channels": 5, "context_length": 26, "patch_length": 6}
    settings |= {"patch_stride": 4, "prediction_length": 7}
    config = transformers.PatchTSTConfig(**shape, **settings)
    return transformers.PatchTSTForPrediction(config).eval(), {"past_values": torch.randn(BATCH, 26, 5)}


def lstm() -> Made:
    model = nn.LSTM(5, WIDTH, num_layers=3, batch_first=True, bidirectional=True).eval()
    return model, {"input": torch.randn(BATCH, POSITIONS, 5)}


def gru() -> Made:
    return nn.GRU(5, WIDTH, num_layers=3).eval(), {"input": torch.randn(POSITIONS, BATCH, 5)}


class Tagger(nn.Module):
    """Tokens through a recurrent network, one label for each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(19, 8)
        self.rnn = nn.LSTM(8, WIDTH, num_layers=2, batch_first=True)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(self.embed(tokens))
        return self.head(states)


def tagger() -> Made:
    return Tagger().eval(), {"tokens": torch.randint(19, (BATCH, POSITIONS))}


class Reader(nn.Module):
    """A recurrent cell called for one position after another: each call is a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(5, WIDTH)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        state = None
        for value in values.unbind(1):
            state = self.cell(value, state)
        assert state is not None
        return self.head(state[0])


def reader() -> Made:
    return Reader().eval(), {"values": torch.randn(BATCH, POSITIONS, 5)}


MODELS = {
    make.__name__: make for make in (videomae, videomae_pretraining, esm, patchtst, lstm, gru, tagger, reader)
}
