"""What the parts contribute: sums against the model's own output, parts against plain hooks, known answers."""

import pytest
import torch

import anylens
from anylens.analysis.contributions import Direction
from anylens.analysis.direct import direct_attribution
from anylens.analysis.streams.carries import find_carry, frozen
from anylens.core.errors import AbsentPointError, AnatomyError, AxisError, RunError, ShapeError
from anylens.zoo.worlds.lexicon import PEOPLE, VERBS
from tests.analysis.planted import planted
from tests.analysis.test_weights import attached, text_model
from tests.models import common, speech

LAST = "blocks.1.hook_normalized_resid_post"
MADE = {  # pre-norm, norms of the writes, parallel, scaled, one head for one position, cross-attention
    "gpt2": common.gpt2,
    "llama": common.llama,
    "gemma2": common.gemma2,
    "gptj": common.gptj,
    "opt": common.opt,
    "vit": common.vit,
    "whisper": speech.whisper,
    "olmo2": lambda: text_model("Olmo2", num_key_value_heads=2),
    "granite": lambda: text_model(
        "Granite", residual_multiplier=0.3, embedding_multiplier=5.0, logits_scaling=1.0
    ),
}


@pytest.mark.parametrize("by", ["write", "head", "neuron"])
@pytest.mark.parametrize("name", MADE)
def test_parts_sum_to_the_logits_of_the_model(name, by):
    lens, inputs = attached(MADE[name]())
    found = direct_attribution(lens, inputs, Direction(0, 1), by=by)
    with torch.no_grad():
        logits = lens.model(**inputs).logits
    if name == "gemma2":  # its logits are capped
        logits = 30 * torch.atanh(logits / 30)
    last = logits if logits.dim() == 2 else logits[:, -1]
    torch.testing.assert_close(found.values.sum(-1), last[:, 0] - last[:, 1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.values.sum(-1), found.total, atol=1e-6, rtol=1e-5)
    assert found.values.abs().amax(0).gt(1e-6).sum() > 4


@pytest.mark.parametrize("by", ["write", "head", "neuron"])
@pytest.mark.parametrize("made", [common.bert, common.albert, common.transformer_encoder])
def test_parts_are_carried_through_norms_on_the_stream(made, by):
    lens, inputs = attached(made())
    probe = torch.randn(24)
    found = direct_attribution(lens, inputs, Direction(probe, at=LAST), by=by, pos=slice(None))
    _, cache = lens.run_with_cache(**inputs, points=LAST)
    torch.testing.assert_close(found.values.sum(-1), cache[LAST] @ probe, atol=1e-5, rtol=1e-4)


def test_a_part_behind_two_norms_is_what_frozen_norms_make_of_it():
    """Against a norm written out by hand, with the run's own standard deviations."""
    lens, inputs = attached(common.bert())
    probe = torch.randn(24)
    found = direct_attribution(
        lens, inputs, Direction(probe, at="blocks.0.hook_normalized_resid_post"), pos=2
    )
    points = [f"blocks.0.{name}" for name in ("hook_attn_out", "hook_resid_mid", "hook_resid_post")]
    _, cache = lens.run_with_cache(**inputs, points=points)
    layer = lens.model.bert.encoder.layer[0]
    part = cache[points[0]][:, 2]
    for state, norm in ((points[1], layer.attention.output.LayerNorm), (points[2], layer.output.LayerNorm)):
        scale = (cache[state][:, 2].var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
        part = norm.weight.detach() * (part - part.mean(-1, keepdim=True)) / scale
    torch.testing.assert_close(found["blocks.0.hook_attn_out"], part @ probe, atol=1e-6, rtol=1e-5)


def test_a_head_contributes_what_plain_products_say():
    lens, inputs = attached(common.gpt2())
    found = direct_attribution(lens, inputs, 4, by="head")
    points = ["blocks.1.attn.hook_z", "blocks.1.hook_resid_post"]
    _, cache = lens.run_with_cache(**inputs, points=points)
    norm, last = lens.model.transformer.ln_f, cache[points[1]][:, -1]
    weight = lens.model.transformer.h[1].attn.c_proj.weight.detach().unflatten(0, (3, 8))
    written = torch.einsum("bhd,hdm->bhm", cache[points[0]][:, -1], weight)
    scale = (last.var(-1, unbiased=False) + norm.eps).sqrt()[:, None, None]
    seen = norm.weight.detach() * (written - written.mean(-1, keepdim=True)) / scale
    expected = seen @ lens.model.lm_head.weight[4].detach()
    torch.testing.assert_close(found.split("blocks.1.hook_attn_out"), expected, atol=1e-6, rtol=1e-5)


def test_the_planted_head_writes_the_answer():
    made = planted(shift=2)
    lens = anylens.attach(made.model, made.clean)
    found = direct_attribution(lens, made.clean, Direction(made.answers, made.wrong), by="head")
    layer, head = made.facts.induction_head
    heads = found.split(f"blocks.{layer}.hook_attn_out")
    assert bool((heads[:, head] > 0.9 * found.total).all())
    assert found.strongest(1)[0][0] == f"blocks.{layer}.hook_attn_out[{head}]"
    previous = found.split("blocks.0.hook_attn_out")[:, made.facts.previous_head[1]]
    assert bool((previous.abs() < 0.05 * found.total).all())  # it acts through the other head, not directly


def sentences(which):
    """Sentences up to the verb, with another noun before it, and the two forms of a verb for each."""
    texts, verbs = [], []
    for topic, nouns in PEOPLE.items():
        for masculine in nouns["masculine"]:
            for attractor in nouns["feminine"][0]:
                texts.append(f"the {masculine[which]} near the {attractor}")
                verbs.append(VERBS[topic][0])
    return texts, verbs


def test_one_head_carries_the_number_of_the_subject():
    """The head that writes most of the difference between verbs is the one whose patch turns one into the other."""
    lens = anylens.load("zoo:grammar-gpt2")
    one, many = (lens.processor(sentences(n)[0], return_tensors="pt").input_ids for n in (0, 1))
    verbs = sentences(0)[1]
    praises, praise = (
        torch.tensor(lens.processor.convert_tokens_to_ids([v[n] for v in verbs])) for n in (0, 1)
    )
    found = [direct_attribution(lens, ids, Direction(praise, praises), by="head") for ids in (one, many)]
    assert found[0].total.max() < 0 < found[1].total.min()
    written = [
        torch.stack([each.split(f"blocks.{layer}.hook_attn_out") for layer in range(3)], 1) for each in found
    ]
    difference = (written[1] - written[0]).mean(0)  # layer, head
    largest = divmod(int(difference.argmax()), 4)

    rows, point = torch.arange(len(one)), f"blocks.{largest[0]}.attn.hook_z"
    _, cache = lens.run_with_cache(many, points=point)
    patch = anylens.patch_from(cache).on(pos=-1, head=largest[1])
    with torch.no_grad():
        logits = lens.run_with_hooks(one, hooks={point: patch}).logits[:, -1]
    moved = logits[rows, praise] - logits[rows, praises] - found[0].total
    assert (moved / (found[1].total - found[0].total)).mean() > 0.9
    points = f"blocks.{largest[0]}.attn.hook_pattern"
    pattern = lens.run_with_cache(many, points=points)[1][points]
    assert pattern[:, largest[1], -1, 2].min() > 0.8  # it looks at the subject, past the other noun


def test_a_state_inside_is_taken_apart_for_a_probe():
    lens, inputs = attached(common.gptj())
    probe = torch.randn(2, 24)
    found = direct_attribution(lens, inputs, Direction(probe, at="blocks.0.hook_resid_post"), pos=1)
    _, cache = lens.run_with_cache(**inputs, points="blocks.0.hook_resid_post")
    expected = (cache["blocks.0.hook_resid_post"][:, 1] * probe).sum(-1)
    torch.testing.assert_close(found.values.sum(-1), expected, atol=1e-6, rtol=1e-5)
    assert {part.layer for part in found.parts} == {None, 0}


def test_a_caption_is_a_direction_of_the_picture_encoder():
    lens = anylens.load("zoo:shapes-clip")
    inputs = {
        "pixel_values": torch.rand(2, 3, 32, 32),
        **lens.processor(text=["a red circle"], return_tensors="pt"),
    }
    text = lens.model.get_text_features(inputs["input_ids"]).pooler_output.detach()
    pictures = lens.model.get_image_features(inputs["pixel_values"]).pooler_output.detach()
    found = direct_attribution(lens, inputs, Direction(text[0], at="vision"), by="head")
    torch.testing.assert_close(found.values.sum(-1), pictures @ text[0], atol=1e-4, rtol=1e-4)


def test_gated_writes_of_a_transformer_that_denoises():
    lens = anylens.load("zoo:shapes-dit")
    taken = {"hidden_states": torch.randn(2, 4, 8, 8), "timestep": torch.tensor([7, 7])}
    inputs = {**taken, "class_labels": torch.tensor([1, 2])}
    probe, last = torch.randn(80), "blocks.4.hook_resid_post"
    part = lens.parts["transformer"]
    found = direct_attribution(part, inputs, Direction(probe, at=last), by="head")
    _, cache = part.run_with_cache(**inputs, points=last)
    torch.testing.assert_close(found.values.sum(-1), cache[last][:, -1] @ probe, atol=1e-3, rtol=1e-4)
    assert len(found.split("blocks.0.hook_attn_out")[0]) == 4
    with pytest.raises(RunError, match="lens.parts"):
        direct_attribution(lens, inputs, 3)


def test_frozen_norms_are_found_by_what_they_do():
    x = torch.randn(2, 5, 7)
    for norm, centred in ((torch.nn.LayerNorm(7), True), (torch.nn.RMSNorm(7), False)):
        torch.nn.init.normal_(norm.weight)
        carry = frozen(norm, x)
        assert carry.centred == centred
        torch.testing.assert_close(carry.push(x), norm(x).detach(), atol=1e-6, rtol=1e-5)
        one, other = torch.randn(2, 2, 5, 7)
        torch.testing.assert_close(carry.linear(one) + carry.linear(other), carry.linear(one + other))
        torch.testing.assert_close((carry.pull(one) * other).sum(-1), (carry.linear(other) * one).sum(-1))
    with pytest.raises(AnatomyError, match="cannot be frozen"):
        frozen(torch.tanh, x)


def test_factors_are_found_by_feature_and_row():
    x = torch.randn(2, 5, 7)
    gate = torch.randn(2, 1, 7)
    torch.testing.assert_close(find_carry(x, gate * x, what="one and two").weight, gate)
    with pytest.raises(AnatomyError, match="Between one and two"):
        find_carry(x, torch.relu(x), what="one and two")


def test_what_cannot_be_done_is_refused():
    lens, inputs = attached(common.gpt2())
    with pytest.raises(ShapeError, match="0 to 52"):
        direct_attribution(lens, inputs, 53)
    with pytest.raises(ShapeError, match="is \\[53\\]"):
        direct_attribution(lens, inputs, torch.randn(24))
    with pytest.raises(AxisError, match="Position 9"):
        direct_attribution(lens, inputs, 3, pos=9)
    mixtral, ids = attached(common.mixtral())
    with pytest.raises(AbsentPointError):
        direct_attribution(mixtral, ids, 3, by="neuron")
    bert, ids = attached(common.bert())
    with pytest.raises(AnatomyError, match="Direction"):
        direct_attribution(bert, ids, 3)
