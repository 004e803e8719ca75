"""Decoders with experts: all of them routed, and with an expert beside them that every token goes to."""

from typing import Any

from tests.models.common import VOCABULARY, Made, token_ids

_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "num_experts_per_tok": 3,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def _made(kind: str, **settings: Any) -> Made:
    import torch
    import transformers

    config = getattr(transformers, f"{kind}Config")(**_SHAPE, **settings)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():  # a router that starts at zero would choose the first experts for every token
        for name, weight in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                weight.normal_(std=0.5)
    return model, {"input_ids": token_ids()}


def mixtral() -> Made:
    return _made("Mixtral", num_local_experts=5)


def qwen2_moe() -> Made:
    return _made(
        "Qwen2Moe",
        num_experts=5,
        moe_intermediate_size=8,
        shared_expert_intermediate_size=16,
        norm_topk_prob=True,
    )


def qwen3_moe() -> Made:
    return _made("Qwen3Moe", num_experts=5, moe_intermediate_size=8, norm_topk_prob=False)


MODELS = {make.__name__: make for make in (mixtral, qwen2_moe, qwen3_moe)}
