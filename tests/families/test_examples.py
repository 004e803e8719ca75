"""Each built-in family builds an example that its models take, in which axes can be told apart."""

import pytest
import torch
import transformers

import anylens
from anylens.families import family_for
from tests.models import MODELS

FAMILIES = {
    **dict.fromkeys("gpt2 llama gemma2 gptj bloom opt bert albert t5".split(), "text"),
    "mixtral": "mixture of experts",
    **dict.fromkeys("vit dinov2 clip_vision swin beit".split(), "vision transformer"),
    **dict.fromkeys(("resnet", "convnext"), "convolutional"),
}
GPT2 = {
    "n_embd": 24,
    "n_layer": 2,
    "n_head": 3,
    "n_positions": 16,
    "vocab_size": 53,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BERT = {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "vocab_size": 53,
}  # fmt: skip
T5 = {
    "d_model": 24, "d_kv": 6, "d_ff": 40, "num_layers": 2, "num_heads": 3, "vocab_size": 53,
    "decoder_start_token_id": 0,
}  # fmt: skip
VIT = {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 16,
    "patch_size": 4,
}  # fmt: skip
HEADS_OF = {
    "GPT2Config": (
        GPT2,
        "GPT2Model GPT2ForSequenceClassification GPT2ForQuestionAnswering GPT2DoubleHeadsModel",
    ),
    "BertConfig": (BERT, "BertModel BertForSequenceClassification BertForMultipleChoice BertForPreTraining"),
    "T5Config": (T5, "T5Model T5EncoderModel T5ForSequenceClassification T5ForQuestionAnswering"),
    "ViTConfig": (VIT, "ViTModel ViTForMaskedImageModeling"),
    "CLIPVisionConfig": (VIT, "CLIPVisionModelWithProjection"),
    "BeitConfig": (VIT, "BeitForMaskedImageModeling"),
}


def test_every_model_of_transformers_is_claimed_by_the_right_family():
    claimed = {name: family_for(make()[0]) for name, make in MODELS.items()}
    found = {name: family.name for name, family in claimed.items() if family}
    assert found == {**FAMILIES, "lstm": "LSTM"}


@pytest.mark.parametrize("name", FAMILIES)
def test_attach_needs_no_example(name):
    lens = anylens.attach(MODELS[name]()[0])
    assert lens.anatomy.streams
    batch = next(iter(lens.family.example_of(lens.model).values())).shape[0]
    first = lens.points[f"{lens.anatomy.streams[0].prefix}.blocks.0.hook_resid_pre".lstrip(".")]
    assert first.axes[0] == "batch"
    assert first.shape[0] == batch


def _structure(config) -> set[int]:
    """The numbers of heads and layers, and the width, of a model that has such."""
    names = "num_attention_heads num_key_value_heads num_heads num_hidden_layers num_layers hidden_size d_model".split()
    return {value for name in names if isinstance(value := getattr(config, name, None), int)}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_sizes_of_an_example_differ(name):
    model = MODELS[name]()[0]
    for value in family_for(model).example_of(model).values():
        sizes = value.shape if value.ndim == 2 else (value.shape[0], value.shape[-1])
        assert len({*sizes, *_structure(model.config)}) == len(sizes) + len(_structure(model.config))
        assert value.shape[0] > 1


@pytest.mark.parametrize(
    ("config", "head"), [(config, head) for config, (_, heads) in HEADS_OF.items() for head in heads.split()]
)
def test_every_head_takes_the_example(config, head):
    settings = getattr(transformers, config)(**HEADS_OF[config][0])
    model = getattr(transformers, head)(settings).eval()
    assert anylens.attach(model).anatomy.streams


def test_tokens_are_ordinary():
    model = MODELS["opt"]()[0]
    tokens = family_for(model).example_of(model)["input_ids"]
    assert not torch.isin(tokens, torch.tensor([0, 1, 2])).any()
    assert tokens.unique().numel() > 5


def test_examples_are_the_same_every_time():
    model = MODELS["t5"]()[0]
    one, other = (family_for(model).example_of(model) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["input_ids"].shape[1] != one["decoder_input_ids"].shape[1]


def test_an_example_comes_in_the_precision_and_on_the_device_of_the_model():
    vit = MODELS["vit"]()[0]
    assert family_for(vit).example_of(vit.bfloat16())["pixel_values"].dtype == torch.bfloat16
    gpt2 = MODELS["gpt2"]()[0].to("meta")
    example = family_for(gpt2).example_of(gpt2)["input_ids"]
    assert example.device.type == "meta"
    assert example.dtype == torch.int64


def test_a_model_on_the_meta_device_needs_no_example():
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(num_hidden_layers=2)).eval()
    assert anylens.attach(model).points["blocks.1.attn.hook_q"].axes == ("batch", "pos", "head", "d_head")


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "opt", "bloom", "t5"])
def test_an_input_with_padding_reaches_every_point_that_the_example_showed(name):
    model = MODELS[name]()[0]
    lens = anylens.attach(model)
    ids = torch.randint(3, 50, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, :3] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    inputs |= {"decoder_input_ids": ids[:, :4]} if name == "t5" else {}
    out, cache = lens.run_with_cache(inputs, points=list(lens.points.canonical))
    assert set(cache) == set(lens.points.canonical)
    torch.testing.assert_close(out.logits, model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_a_part_of_a_model_is_not_taken_for_the_whole():
    assert family_for(MODELS["gpt2"]()[0].transformer.h[0].attn) is None
    assert family_for(MODELS["dinov2"]()[0].encoder) is None
