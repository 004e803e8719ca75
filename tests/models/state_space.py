"""State spaces: a step for each feature, a step for each head, and one with attention and experts in other blocks."""

from tests.models.common import VOCABULARY, Made, token_ids

_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 12, "state_size": 5, "num_hidden_layers": 2, "expand": 2,
    "conv_kernel": 4, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def mamba() -> Made:
    import transformers

    config = transformers.MambaConfig(**_SHAPE, time_step_rank=3)
    return transformers.MambaForCausalLM(config).eval(), {"input_ids": token_ids()}


def mamba2() -> Made:
    import transformers

    config = transformers.Mamba2Config(**_SHAPE, num_heads=6, head_dim=4, n_groups=3, chunk_size=4)
    return transformers.Mamba2ForCausalLM(config).eval(), {"input_ids": token_ids()}


def jamba() -> Made:
    import transformers

    config = transformers.JambaConfig(
        vocab_size=VOCABULARY, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_experts=5, num_experts_per_tok=3, expert_layer_period=2, expert_layer_offset=0,
        attn_layer_period=2, attn_layer_offset=1, mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, mamba_dt_rank=3,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return transformers.JambaForCausalLM(config).eval(), {"input_ids": token_ids()}


MODELS = {make.__name__: make for make in (mamba, mamba2, jamba)}
