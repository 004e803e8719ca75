"""Whisper, Wav2Vec2 and its kin, and AST: names and values as the models give them, and where in the sound they lie."""

import pytest
import torch
import transformers

import anylens
from anylens.core.errors import AbsentPointError
from tests.models.speech import BATCH, FRAMES, MELS, MODELS, whisper, whisper_config

pytestmark = pytest.mark.filterwarnings("ignore")

FAMILIES = {
    "whisper": "speech recognition",
    "whisper_audio_classification": "speech recognition",
    "wav2vec2": "speech representation",
    "wav2vec2_stable": "speech representation",
    "hubert": "speech representation",
    "ast": "audio spectrogram",
}
KIN = "Data2VecAudio UniSpeech UniSpeechSat Wav2Vec2Conformer WavLM".split()
CROSS = "decoder.blocks.*.cross_attn.hook_pattern"


def made(name: str) -> anylens.Lens:
    torch.manual_seed(0)
    return anylens.attach(MODELS[name]()[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_attach_needs_no_example(name):
    lens = made(name)
    assert lens.family.name == FAMILIES[name]
    assert lens.anatomy.streams
    batch, positions = lens.points.find("*blocks.0.hook_resid_pre")[0].shape[:2]
    assert batch != positions


@pytest.mark.parametrize("kind", KIN)
def test_their_kin_are_known(kind):
    shape = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3}
    sound = {"conv_dim": (12, 14), "conv_kernel": (5, 3), "conv_stride": (5, 2), "vocab_size": 31}
    around = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    config = getattr(transformers, f"{kind}Config")(**shape, **sound, **around)
    lens = anylens.attach(getattr(transformers, f"{kind}Model")(config).eval())
    assert lens.family.name == "speech representation"
    assert len(lens.anatomy.streams[0].blocks) == 2
    assert lens.points["conv.1.hook_out"].axes == ("batch", "channel", "pos")


# -- Whisper ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoken():
    """A Whisper that attends the long way, as it must to give its own attentions, and an input of it."""
    torch.manual_seed(0)
    model, example = whisper("eager")
    return anylens.attach(model), example


def test_whisper_has_the_names_of_its_field():
    lens = made("whisper")
    assert [stream.prefix for stream in lens.anatomy.streams] == ["encoder", "decoder"]
    pattern = lens.points["decoder.blocks.1.cross_attn.hook_pattern"]
    assert pattern.axes == ("batch", "head", "query_pos", "key_pos")
    assert pattern.shape[1:] == (4, lens.points["decoder.hook_embed"].shape[1], FRAMES // 2)
    assert lens.points["encoder.conv2.hook_out"].axes == ("batch", "channel", "frame")
    assert lens.points["encoder.hook_pos_embed"].axes == ("pos", "d_model")
    assert lens.points["audio_features"].name == "encoder.ln_final.hook_normalized"


def test_values_are_the_fields_of_the_output(spoken):
    lens, example = spoken
    points = ["encoder.blocks.*.hook_resid_pre", "audio_features", "decoder.blocks.*.hook_resid_pre"]
    points += ["*.hook_pattern", "decoder.hook_logits"]
    _, cache = lens.run_with_cache(example, points=points)
    own = lens.model(**example, output_hidden_states=True, output_attentions=True)
    assert torch.equal(cache["audio_features"], own.encoder_last_hidden_state)
    assert torch.equal(cache["decoder.hook_logits"], own.logits)
    for number in range(2):
        for side, states in (("encoder", own.encoder_hidden_states), ("decoder", own.decoder_hidden_states)):
            assert torch.equal(cache[f"{side}.blocks.{number}.hook_resid_pre"], states[number])
        patterns = {
            "encoder.blocks.{}.attn": own.encoder_attentions,
            "decoder.blocks.{}.attn": own.decoder_attentions,
            "decoder.blocks.{}.cross_attn": own.cross_attentions,
        }
        for base, attentions in patterns.items():
            assert torch.equal(cache[f"{base.format(number)}.hook_pattern"], attentions[number])


def test_generation_gives_a_pattern_for_each_token(spoken):
    lens, example = spoken
    sound = {"input_features": example["input_features"]}
    points = [CROSS, "audio_features"]
    _, steps = lens.record(sound, method="generate", points=points, max_new_tokens=5, min_new_tokens=5)
    own = lens.model.generate(
        **sound,
        max_new_tokens=5,
        min_new_tokens=5,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    name = "decoder.blocks.1.cross_attn.hook_pattern"
    assert steps.indices(name) == [0, 1, 2, 3, 4]
    assert steps.indices("encoder.ln_final.hook_normalized") == [0]
    for step, attentions in enumerate(own.cross_attentions):
        assert torch.equal(steps[step][name], attentions[1])


def test_an_edit_of_what_was_heard_reaches_every_token(spoken):
    lens, example = spoken
    sound = {"input_features": example["input_features"]}
    points = ["encoder.ln_final.hook_normalized", "decoder.hook_logits"]
    noise = torch.randn(FRAMES // 2, 24, generator=torch.Generator().manual_seed(1))
    limits = {"max_new_tokens": 4, "min_new_tokens": 4}
    _, plain = lens.record(sound, method="generate", points=points, **limits)
    hooks = {"audio_features": anylens.add(noise)}
    _, edited = lens.record(sound, method="generate", points=points, hooks=hooks, **limits)
    assert torch.equal(edited[0][points[0]], plain[0][points[0]] + noise)
    moved = (edited.stack(points[1]) != plain.stack(points[1])).flatten(1).any(1)
    assert moved.tolist() == [True] * 4


def test_the_encoder_alone_has_no_prefix():
    lens = made("whisper_audio_classification")
    assert [stream.prefix for stream in lens.anatomy.streams] == [""]
    assert lens.layout.where((1,), (13,)).seconds == pytest.approx((0.02, 0.04))
    with pytest.raises(AbsentPointError, match="cross-attention"):
        lens.points["blocks.0.cross_attn.hook_pattern"]


def on_meta(kind: str, head: str):
    """A model of the size that its config has by default, without memory."""
    with torch.device("meta"):
        return getattr(transformers, head)(getattr(transformers, f"{kind}Config")()).eval().to("meta")


def test_whisper_hears_30_seconds_in_1500_positions():
    lens = anylens.attach(on_meta("Whisper", "WhisperForConditionalGeneration"))
    positions = lens.points["audio_features"].shape[1]
    frames = lens.layout.of("encoder.blocks.0.hook_resid_pre")
    assert positions == 1500
    assert frames.where((0,), (positions,)).seconds == pytest.approx((0, 0.02))
    assert frames.where((1499,), (positions,)).seconds == pytest.approx((29.98, 30))
    assert frames.heard(100) == pytest.approx((2 - 0.0325, 2 + 0.0325))
    assert lens.layout.of("decoder.blocks.0.hook_resid_pre").where((3,), (5,)).token == 3


def test_whisper_hears_nothing_outside_its_field():
    """Samples changed outside what a position hears leave it as it was before attention; samples inside do not."""
    extractor = transformers.WhisperFeatureExtractor(feature_size=MELS, chunk_length=1)
    torch.manual_seed(0)
    lens = anylens.attach(
        transformers.WhisperForConditionalGeneration(whisper_config(max_source_positions=50)).eval()
    )
    frames = lens.layout.of("encoder")
    sound = 0.3 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    sound[15_000:15_500] *= 30  # the loudest moment, on which the scale of the spectrogram depends
    changed = sound.clone()
    begin, end = 8_000, 8_160
    changed[begin:end] = 0
    before, after = (embedded(lens, extractor, samples) for samples in (sound, changed))
    moved = (before != after).any(-1)[0].nonzero().flatten().tolist()
    heard = [
        n for n in range(50) if frames.heard(n)[0] * 16_000 < end and frames.heard(n)[1] * 16_000 > begin
    ]
    assert moved == heard


def embedded(lens, extractor, samples):
    features = extractor(samples.numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    tokens = torch.full((1, 3), 5)
    _, cache = lens.run_with_cache(
        input_features=features, decoder_input_ids=tokens, points="encoder.hook_embed"
    )
    return cache["encoder.hook_embed"]


# -- Wav2Vec2 and AST -------------------------------------------------------------------------------------------------


def test_wav2vec2_hears_25_milliseconds_every_20():
    frames = anylens.attach(on_meta("Wav2Vec2", "Wav2Vec2Model")).layout
    assert frames.hop == pytest.approx(0.02)
    assert frames.field == pytest.approx(0.025)
    assert frames.where((49,), (50,)).seconds == pytest.approx((0.98, 1))
    assert frames.heard(49) == pytest.approx((0.98, 1.005))


def test_wav2vec2_hears_nothing_outside_its_field():
    lens = made("wav2vec2_stable")  # the others normalise over the whole sound
    frames = lens.layout
    sound = torch.randn(1, 401)
    changed = sound.clone()
    changed[:, 150:157] += 1
    last = "conv.2.hook_out"
    before, after = (lens.run_with_cache(input_values=x, points=last)[1][last] for x in (sound, changed))
    moved = (before != after).any(1)[0].nonzero().flatten().tolist()
    spans = [tuple(16_000 * edge for edge in frames.heard(n)) for n in range(before.shape[-1])]
    assert moved == [n for n, (start, stop) in enumerate(spans) if start < 156.5 and stop > 150.5]


@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2_stable", "hubert"])
def test_the_states_of_wav2vec2_are_its_own(name):
    lens = made(name)
    example = MODELS[name]()[1]
    _, cache = lens.run_with_cache(example, points=["blocks.*.hook_resid_pre", "conv.2.hook_out"])
    own = lens.model(**example, output_hidden_states=True).hidden_states
    for number in range(2):
        assert torch.equal(cache[f"blocks.{number}.hook_resid_pre"], own[number])
    inside = getattr(lens.model, lens.model.base_model_prefix, lens.model)
    assert torch.equal(cache["conv.2.hook_out"], inside.feature_extractor(example["input_values"]))


def test_ast_cuts_ten_seconds_into_12_bands_of_101_patches():
    lens = anylens.attach(on_meta("AST", "ASTForAudioClassification"))
    positions = lens.points["blocks.0.hook_resid_pre"].shape[1]
    assert positions == 2 + 12 * 101
    place = lens.layout.where((2 + 101 + 1,), (positions,))
    assert place.band == (10, 26)
    assert place.seconds == pytest.approx((0.1, 0.26))
    assert lens.layout.where((0,), (positions,)).label == "class token"


def test_a_patch_of_ast_is_where_its_bins_are():
    lens = made("ast")
    sound = torch.randn(BATCH, FRAMES, MELS)
    changed = sound.clone()
    changed[:, 9, 7] += 1  # frame 9, mel bin 7
    before, after = (
        lens.run_with_cache(input_values=x, points="hook_embed")[1]["hook_embed"] for x in (sound, changed)
    )
    moved = (before != after).any(-1).any(0).nonzero().flatten().tolist()
    places = [lens.layout.where((n,), (before.shape[1],)) for n in range(before.shape[1])]
    assert moved == [
        n
        for n, place in enumerate(places)
        if place.band and place.band[0] <= 7 < place.band[1] and place.seconds[0] < 0.095 < place.seconds[1]
    ]
    assert len(moved) > 1  # they overlap
