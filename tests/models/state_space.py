"""State spaces: a step for each feature, and a step for each head."""

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


MODELS = {make.__name__: make for make in (mamba, mamba2)}
