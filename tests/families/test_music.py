"""MusicGen and EnCodec: texts, codebooks and codes by name, equal to the models' own."""

import pytest
import torch

import anylens
from anylens.core.errors import AbsentPointError
from tests.models.music import BATCH, CODEBOOKS, CODES, MODELS, POSITIONS, musicgen_config

pytestmark = pytest.mark.filterwarnings("ignore")


def lens_of(name: str) -> anylens.Lens:
    torch.manual_seed(0)
    return anylens.attach(MODELS[name]()[0])


@pytest.mark.parametrize(("name", "family"), [("musicgen", "music"), ("encodec", "audio codec")])
def test_attach_needs_no_example(name, family):
    assert lens_of(name).family.name == family


def test_a_decoder_of_fewer_codebooks_than_its_codec_gets_codes():
    import transformers

    config = musicgen_config()
    config.decoder.num_codebooks = 2
    lens = anylens.attach(transformers.MusicgenForConditionalGeneration(config).eval())
    assert "decoder_input_ids" in lens.family.example_of(lens.model)
    with pytest.raises(AbsentPointError, match="did not come by"):
        lens.points["audio_encoder.quantizer.hook_codes"]


# -- MusicGen ---------------------------------------------------------------------------------------------------------


def test_text_and_music_have_their_names():
    lens = lens_of("musicgen")
    assert [stream.prefix for stream in lens.anatomy.streams] == ["text_encoder", "decoder"]
    assert lens.points["decoder.hook_logits"].axes == ("batch", "codebook", "pos", "d_vocab")
    pattern = lens.points["decoder.blocks.1.cross_attn.hook_pattern"]
    assert pattern.axes == ("batch", "head", "query_pos", "key_pos")
    assert len(lens.points.find("decoder.codebooks.*.hook_embed")) == CODEBOOKS


def test_codebooks_are_an_axis_of_the_logits():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    _, cache = lens.run_with_cache(example, points=["decoder.hook_logits", "decoder.codebooks.*.hook_logits"])
    own = model(**example).logits
    logits = cache["decoder.hook_logits"]
    assert logits.shape == (BATCH, CODEBOOKS, POSITIONS, CODES)
    assert torch.equal(logits.flatten(0, 1), own)
    for codebook in range(CODEBOOKS):
        assert torch.equal(cache[f"decoder.codebooks.{codebook}.hook_logits"], logits[:, codebook])


def test_steps_say_which_rows_follow_the_text():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    texts = {"input_ids": example["input_ids"], "max_new_tokens": 4, "do_sample": False}
    _, steps = lens.record(**texts, method="generate", points="decoder.hook_out", guidance_scale=3.0)
    rows = steps.indices("decoder.hook_out")[0].conditional
    assert rows == (True,) * BATCH + (False,) * BATCH
    _, steps = lens.record(**texts, method="generate", points="decoder.hook_out", guidance_scale=1.0)
    assert steps.indices("decoder.hook_out")[0].conditional is None


def test_what_is_embedded_is_the_sum_over_codebooks():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    points = ["decoder.hook_embed", "decoder.codebooks.*.hook_embed", "decoder.blocks.0.hook_resid_pre"]
    _, cache = lens.run_with_cache(example, points=[*points, "decoder.hook_pos_embed"])
    each = [cache[f"decoder.codebooks.{codebook}.hook_embed"] for codebook in range(CODEBOOKS)]
    assert torch.equal(cache["decoder.hook_embed"], sum(each))
    begun = cache["decoder.hook_embed"] + cache["decoder.hook_pos_embed"]
    assert torch.equal(cache["decoder.blocks.0.hook_resid_pre"], begun)


def test_an_edit_of_one_codebook_changes_its_rows_alone():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    edit = {"decoder.hook_logits": anylens.set_to(0.0).on(codebook=2)}
    edited = lens.run_with_hooks(example, hooks=edit).logits.unflatten(0, (BATCH, CODEBOOKS))
    own = model(**example).logits.unflatten(0, (BATCH, CODEBOOKS))
    assert (edited[:, 2] == 0).all()
    assert torch.equal(edited[:, [0, 1, 3]], own[:, [0, 1, 3]])


def test_the_codec_inside_has_its_points():
    model, _ = MODELS["musicgen"]()
    lens = anylens.attach(model)
    given = lens.family.example_of(model)
    _, cache = lens.run_with_cache(
        given, points=["audio_encoder.quantizer.hook_codes", "decoder.codebooks.0.hook_embed"]
    )
    codes = cache["audio_encoder.quantizer.hook_codes"]
    assert torch.equal(
        codes, model.audio_encoder.encode(given["input_values"]).audio_codes[0].transpose(0, 1)
    )
    first = model.decoder.model.decoder.embed_tokens[0](codes[0]).detach()
    assert torch.equal(cache["decoder.codebooks.0.hook_embed"], first)


def test_generation_ends_in_the_decoder_of_the_codec():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    text = {"input_ids": example["input_ids"]}
    points = ["audio_encoder.decoder.hook_waveform", "decoder.hook_logits"]
    sound, steps = lens.record(text, method="generate", points=points, max_new_tokens=8, do_sample=False)
    assert steps.indices(points[0]) == [0]
    assert torch.equal(steps[0][points[0]], sound)


def test_generation_goes_step_by_step():
    model, example = MODELS["musicgen"]()
    lens = anylens.attach(model)
    seen = []
    handle = model.decoder.register_forward_hook(lambda *given: seen.append(given[-1].logits.clone()))
    points = ["decoder.hook_logits", "text_encoder.ln_final.hook_normalized"]
    text = {"input_ids": example["input_ids"]}
    sound, steps = lens.record(text, method="generate", points=points, max_new_tokens=8, do_sample=False)
    handle.remove()
    assert steps.indices("text_encoder.ln_final.hook_normalized") == [0]
    logits = steps.stack("decoder.hook_logits")
    assert logits.shape == (len(seen), BATCH, CODEBOOKS, 1, CODES)
    assert torch.equal(logits.flatten(1, 2), torch.stack(seen))
    assert torch.equal(sound, model.generate(**text, max_new_tokens=8, do_sample=False))


def test_positions_of_the_decoder_are_frames_of_the_codec():
    lens = lens_of("musicgen")
    hop = 12 / 24_000
    place = lens.layout.of("decoder.blocks.0.hook_resid_pre").where((2,), (6,))
    assert place.seconds == pytest.approx((2 * hop, 3 * hop))
    assert lens.layout.of("text_encoder.blocks.0.hook_resid_pre").where((2,), (6,)).token == 2


# -- EnCodec ----------------------------------------------------------------------------------------------------------


def test_codes_and_latents_are_those_of_the_codec():
    model, example = MODELS["encodec"]()
    lens = anylens.attach(model)
    out, cache = lens.run_with_cache(
        example, points=["*.hook_latent", "quantizer.*", "decoder.hook_waveform"]
    )
    codes = cache["quantizer.hook_codes"]
    assert cache.axes("quantizer.hook_codes") == ("codebook", "batch", "pos")
    assert torch.equal(codes.transpose(0, 1), out.audio_codes[0])
    assert torch.equal(cache["encoder.hook_latent"], model.encoder(example["input_values"]))
    assert torch.equal(cache["decoder.hook_latent"], model.quantizer.decode(codes))
    sound = cache["decoder.hook_waveform"][..., : example["input_values"].shape[-1]]
    assert torch.equal(sound, out.audio_values)


def test_each_codebook_leaves_to_the_next_what_it_did_not_say():
    model, example = MODELS["encodec"]()
    _, cache = anylens.attach(model).run_with_cache(example, points="quantizer.codebooks.*")
    for number in range(CODEBOOKS - 1):
        before, said = (
            cache[f"quantizer.codebooks.{number}.hook_{name}"] for name in ("residual", "quantized")
        )
        after = cache[f"quantizer.codebooks.{number + 1}.hook_residual"]
        assert torch.equal(after, before - said.transpose(1, 2))


def test_a_code_set_by_hand_is_heard():
    model, example = MODELS["encodec"]()
    lens = anylens.attach(model)
    silent = {"quantizer.hook_codes": anylens.set_to(5).on(codebook=0)}
    out = lens.run_with_hooks(example, hooks=silent)
    assert (out.audio_codes[0, :, 0] == 5).all()
    own = model(**example)
    assert torch.equal(out.audio_codes[0, :, 1:], own.audio_codes[0, :, 1:])
    assert not torch.equal(out.audio_values, own.audio_values)


def test_a_code_stands_for_one_hop():
    lens = lens_of("encodec")
    assert lens.layout.hop == 12 / 24_000
    assert lens.points["quantizer.hook_codes"].shape[-1] == 14


def test_the_codec_of_24_kilohertz_makes_75_codes_a_second():
    import transformers

    with torch.device("meta"):
        model = transformers.EncodecModel(transformers.EncodecConfig())
    from anylens.families import family_for

    assert family_for(model).layout_of(model).hop == pytest.approx(1 / 75)
