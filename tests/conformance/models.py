"""Tiny random models of the real classes, every size distinct so that axes cannot be confused."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Made = tuple[nn.Module, Any]
BATCH, POSITIONS = 2, 7


def tokens(size: int = 29, positions: int = POSITIONS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"input_ids": torch.randint(2, size, (BATCH, positions), generator=generator)}


def pixels(size: int, channels: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"pixel_values": torch.randn(BATCH, channels, size, size, generator=generator)}


def hugging(
    model: str, config: str, example: Any, attention: str = "", **settings: Any
) -> Callable[[], Made]:
    def make() -> Made:
        import transformers

        torch.manual_seed(0)
        chosen = getattr(transformers, config)(**settings)
        if attention:
            chosen._attn_implementation = attention
        made = getattr(transformers, model)(chosen).eval()
        return made, example() if callable(example) else example

    return make


LLAMA = {
    "vocab_size": 29,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
}
GPT2 = {"vocab_size": 29, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 16, "n_inner": 40}
BERT = {
    "vocab_size": 29,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
}
VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": 15,
    "patch_size": 5,
}


def t5_inputs() -> dict[str, torch.Tensor]:
    return {**tokens(), "decoder_input_ids": tokens(positions=5)["input_ids"]}


def encoder() -> Made:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(24, 3, 40, batch_first=True, dropout=0.1)
    return nn.TransformerEncoder(layer, 2).eval(), torch.randn(BATCH, POSITIONS, 24)


def perceptron() -> Made:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 11), nn.ReLU(), nn.Linear(11, 11), nn.GELU(), nn.Linear(11, 5)
    ).eval(), torch.randn(3, 6)


def lstm() -> Made:
    torch.manual_seed(0)
    return nn.LSTM(6, 10, num_layers=2, batch_first=True).eval(), torch.randn(BATCH, POSITIONS, 6)


MODELS: dict[str, Callable[[], Made]] = {
    "gpt2": hugging("GPT2LMHeadModel", "GPT2Config", tokens, **GPT2),
    "gpt2-eager": hugging("GPT2LMHeadModel", "GPT2Config", tokens, "eager", **GPT2),
    "llama": hugging("LlamaForCausalLM", "LlamaConfig", tokens, **LLAMA),
    "llama-eager": hugging("LlamaForCausalLM", "LlamaConfig", tokens, "eager", **LLAMA),
    "gemma2": hugging("Gemma2ForCausalLM", "Gemma2Config", tokens, **LLAMA),
    "gptj": hugging(
        "GPTJForCausalLM",
        "GPTJConfig",
        tokens,
        vocab_size=29,
        n_embd=24,
        n_layer=2,
        n_head=3,
        rotary_dim=4,
        n_positions=16,
        n_inner=40,
    ),
    "bloom": hugging(
        "BloomForCausalLM", "BloomConfig", tokens, vocab_size=29, hidden_size=24, n_layer=2, n_head=3
    ),
    "opt": hugging(
        "OPTForCausalLM",
        "OPTConfig",
        tokens,
        vocab_size=29,
        hidden_size=24,
        ffn_dim=40,
        num_hidden_layers=2,
        num_attention_heads=3,
        max_position_embeddings=16,
        word_embed_proj_dim=24,
    ),
    "bert": hugging("BertModel", "BertConfig", tokens, **BERT),
    "bert-eager": hugging("BertModel", "BertConfig", tokens, "eager", **BERT),
    "albert": hugging("AlbertModel", "AlbertConfig", tokens, **{**BERT, "embedding_size": 10}),
    "t5": hugging(
        "T5ForConditionalGeneration",
        "T5Config",
        t5_inputs,
        vocab_size=29,
        d_model=24,
        d_kv=6,
        d_ff=40,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=3,
        decoder_start_token_id=0,
    ),
    "mixtral": hugging(
        "MixtralForCausalLM",
        "MixtralConfig",
        tokens,
        **{**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "vit": hugging("ViTForImageClassification", "ViTConfig", lambda: pixels(15), **VIT),
    "dinov2": hugging("Dinov2Model", "Dinov2Config", lambda: pixels(15), **{**VIT, "mlp_ratio": 2}),
    "clip-vision": hugging("CLIPVisionModel", "CLIPVisionConfig", lambda: pixels(15), **VIT),
    "swin": hugging(
        "SwinModel",
        "SwinConfig",
        lambda: pixels(32),
        image_size=32,
        patch_size=2,
        embed_dim=12,
        depths=[2, 2],
        num_heads=[3, 6],
        window_size=4,
    ),
    "beit": hugging(
        "BeitModel",
        "BeitConfig",
        lambda: pixels(15),
        **{**VIT, "use_relative_position_bias": True, "layer_scale_init_value": 0.1},
    ),
    "resnet": hugging(
        "ResNetModel",
        "ResNetConfig",
        lambda: pixels(32),
        embedding_size=6,
        hidden_sizes=[10, 14],
        depths=[2, 3],
        layer_type="basic",
    ),
    "convnext": hugging(
        "ConvNextModel",
        "ConvNextConfig",
        lambda: pixels(32),
        hidden_sizes=[10, 14],
        depths=[2, 3],
        num_stages=2,
        patch_size=2,
    ),
    "encoder": encoder,
    "perceptron": perceptron,
    "lstm": lstm,
}
