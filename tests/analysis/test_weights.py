"""The maps found are the model's own parameters, and give what its points show."""

import pytest
import torch
import transformers

import anylens
from anylens.analysis.weights import attention_maps, mlp_maps
from anylens.core.errors import AnatomyError, AxisError, RunError, UnknownPointError
from tests.analysis.planted import D_HEAD, planted
from tests.models import common, speech

TEXT = {
    "vocab_size": 53, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 0, "num_attention_heads": 4,
}  # fmt: skip


def text_model(kind, **settings):
    config = getattr(transformers, f"{kind}Config")(**{**TEXT, **settings})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    return model, {"input_ids": common.token_ids()}


def attached(made):
    """A lens on a model whose biases and norms are not those of a fresh one."""
    model, inputs = made
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return anylens.attach(model, inputs), inputs


def is_part_of(view, parameter):
    begin, size = parameter.data_ptr(), parameter.numel() * parameter.element_size()
    return begin <= view.data_ptr() < begin + size and view.untyped_storage().data_ptr() == (
        parameter.untyped_storage().data_ptr()
    )


def test_conv1d_is_sliced_as_gpt2_slices_it():
    lens, inputs = attached(common.gpt2())
    maps = attention_maps(lens, "blocks.1.attn", inputs)
    attn = lens.model.transformer.h[1].attn
    queries, keys, values = attn.c_attn.weight.split(24, dim=1)
    for found, whole in zip((maps.q, maps.k, maps.v), (queries, keys, values), strict=True):
        assert torch.equal(torch.cat(found.heads, 1), whole)
    assert torch.equal(torch.cat(maps.o.heads), attn.c_proj.weight)
    assert torch.equal(torch.cat(maps.k.biases), attn.c_attn.bias[24:48])
    assert maps.q.then == ""


MADE = {
    "gpt2": common.gpt2,
    "llama": common.llama,
    "bloom": common.bloom,
    "opt": common.opt,
    "bert": common.bert,
    "beit": common.beit,
    "encoder": common.transformer_encoder,
    "positions first": lambda: common.transformer_encoder(batch_first=False),
    "whisper": speech.whisper,
    "falcon": lambda: text_model("Falcon", num_kv_heads=2, new_decoder_architecture=True),
    "phi3": lambda: text_model("Phi3", num_key_value_heads=2),
}


@pytest.mark.parametrize("name", MADE)
def test_the_views_make_what_the_points_show(name):
    """Against plain matrix products on what enters the block's attention."""
    lens, inputs = attached(MADE[name]())
    base = "decoder.blocks.0.attn" if name == "whisper" else "blocks.0.attn"
    maps = attention_maps(lens, base, inputs)
    owner = dict(lens.model.named_modules())[maps.q.name.rpartition(".")[0]]
    taken = {}

    def take(_, args, kwargs):
        taken["x"] = (*args, *kwargs.values())[0]

    hook = owner.register_forward_pre_hook(take, with_kwargs=True)
    _, cache = lens.run_with_cache(**inputs, points=f"{base}.hook_*")
    hook.remove()
    x = taken["x"] if name != "positions first" else taken["x"].transpose(0, 1)
    q = torch.stack([x @ head for head in maps.q.heads], 2) * maps.q.factor
    if maps.q.biases:
        q = q + torch.stack(maps.q.biases) * maps.q.factor
    shown = slice(0, 1) if maps.q.then == "rotated" else slice(None)
    torch.testing.assert_close(q[:, shown], cache[f"{base}.hook_q"][:, shown], atol=1e-5, rtol=1e-4)
    assert (maps.q.then == "rotated") == (name in ("llama", "falcon", "phi3"))
    if f"{base}.hook_result" in cache:
        result = torch.einsum("bphd,hdm->bphm", cache[f"{base}.hook_z"], maps.o.stacked())
        torch.testing.assert_close(result, cache[f"{base}.hook_result"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MADE)
def test_the_views_share_storage_with_the_parameters(name):
    lens, inputs = attached(MADE[name]())
    base = "decoder.blocks.0.attn" if name == "whisper" else "blocks.0.attn"
    maps = attention_maps(lens, base, inputs)
    parameters = dict(lens.model.named_parameters())
    for one in (maps.q, maps.k, maps.v, maps.o):
        assert all(is_part_of(view, parameters[one.name]) for view in one.heads)
    before = lens.run_with_cache(**inputs, points=f"{base}.hook_v")[1][f"{base}.hook_v"]
    maps.v[-1].zero_()
    if maps.v.biases:
        maps.v.biases[-1].zero_()
    after = lens.run_with_cache(**inputs, points=f"{base}.hook_v")[1][f"{base}.hook_v"]
    assert bool((after[:, :, -1] == 0).all())
    assert torch.equal(after[:, :, 0], before[:, :, 0])


def test_grouped_heads_share_their_keys():
    lens, inputs = attached(common.llama())
    maps = attention_maps(lens, "blocks.0.attn", inputs)
    assert (len(maps.q), len(maps.k), len(maps.v), len(maps.o)) == (4, 2, 2, 4)
    assert [maps.key_head(head) for head in range(4)] == [0, 0, 1, 1]
    weight = lens.model.model.layers[0].self_attn.k_proj.weight
    assert torch.equal(maps.k[1], weight[6:12].T)


def test_a_norm_behind_the_queries_is_named():
    lens, inputs = attached(text_model("Qwen3", num_key_value_heads=2, head_dim=6))
    maps = attention_maps(lens, "blocks.0.attn", inputs)
    assert maps.q.then == "normalised by model.layers.0.self_attn.q_norm, rotated"
    assert maps.v.then == ""


def test_the_planted_maps():
    model = planted().model
    lens = anylens.attach(model, planted().clean)
    maps = attention_maps(lens, "blocks.1.attn", planted().clean)
    assert torch.equal(maps.k[2], model.blocks[1].attn.k.weight[2 * D_HEAD :].T)


@pytest.mark.parametrize(
    ("made", "pre", "linear", "post"),
    [
        (common.gpt2, "c_fc.weight", "", "c_proj.weight"),
        (common.llama, "gate_proj.weight", "up_proj.weight", "down_proj.weight"),
        (common.opt, "fc1.weight", "", "fc2.weight"),
    ],
)
def test_the_maps_of_the_mlp(made, pre, linear, post):
    lens, inputs = attached(made())
    maps = mlp_maps(lens, "blocks.1.mlp", inputs)
    assert maps.pre.name.endswith(pre)
    assert maps.post.name.endswith(post)
    assert (maps.pre_linear is None) == (not linear)
    points = ["blocks.1.mlp.hook_post", "blocks.1.hook_mlp_out"]
    _, cache = lens.run_with_cache(**inputs, points=points)
    written = cache[points[0]] @ maps.post.matrix + (0 if maps.post.bias is None else maps.post.bias)
    torch.testing.assert_close(
        written.reshape(cache[points[1]].shape), cache[points[1]], atol=1e-6, rtol=1e-5
    )


def test_attention_in_the_middle_of_a_unet():
    lens = anylens.load("zoo:shapes-diffusion").parts["unet"]
    width = lens.model.config.cross_attention_dim
    inputs = {
        "sample": torch.randn(2, 4, 8, 8),
        "timestep": 5,
        "encoder_hidden_states": torch.randn(2, 7, width),
    }
    block = lens.model.mid_block.attentions[0].transformer_blocks[0]
    for part, attention in (("attn", block.attn1), ("cross_attn", block.attn2)):
        maps = attention_maps(lens, f"mid.attentions.0.blocks.0.{part}", inputs)
        assert torch.equal(torch.cat(maps.k.heads, 1), attention.to_k.weight.T)
        assert torch.equal(torch.cat(maps.o.heads), attention.to_out[0].weight.T)


def test_maps_are_found_in_half_precision():
    lens, inputs = attached(common.llama())
    lens.model.to(torch.bfloat16)
    maps = attention_maps(lens, "blocks.0.attn", inputs)
    assert torch.equal(maps.k[1], lens.model.model.layers[0].self_attn.k_proj.weight[6:12].T)


def test_fused_gates_are_taken_apart():
    lens, inputs = attached(text_model("Phi3", num_key_value_heads=2))
    maps = mlp_maps(lens, "blocks.0.mlp", inputs)
    weight = lens.model.model.layers[0].mlp.gate_up_proj.weight
    assert torch.equal(maps.pre.matrix, weight[:40].T)
    assert torch.equal(maps.pre_linear.matrix, weight[40:].T)


def test_what_cannot_be_told_apart_says_why():
    settings = {
        "q_lora_rank": 8, "kv_lora_rank": 6, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 6,
        "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4,
    }  # fmt: skip
    lens, inputs = attached(text_model("DeepseekV3", **settings))
    with pytest.raises(AnatomyError, match="makes blocks.0.attn.hook_q out of what enters"):
        attention_maps(lens, "blocks.0.attn", inputs)
    swin, picture = attached(common.swin())
    with pytest.raises(AxisError, match="batch window pos head d_head"):
        attention_maps(swin, "stages.0.blocks.0.attn", picture)
    with pytest.raises(UnknownPointError):
        attention_maps(lens, "blocks.7.attn", inputs)
    with pytest.raises(RunError, match="Pass inputs="):
        attention_maps(anylens.attach(planted().model, planted().clean), "blocks.0.attn")
