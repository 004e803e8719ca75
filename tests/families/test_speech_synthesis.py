"""HiFi-GAN and VITS: stages, flow and sound by name, equal to the models' own."""

import pytest
import torch
import transformers

import anylens
from anylens.families import family_for
from tests.models.speech_synthesis import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", MODELS)
def test_attach_needs_no_example(name):
    assert anylens.attach(MODELS[name]()[0]).family.name == "speech synthesis"


def test_the_vocoder_has_its_stages_and_kernels():
    model, example = MODELS["hifigan"]()
    lens = anylens.attach(model)
    assert [stream.prefix for stream in lens.anatomy.streams] == [f"resblocks.{n}" for n in range(4)]
    assert lens.points["resblocks.3.blocks.0.hook_resid_post"].axes == ("batch", "channel", "pos")
    seen = {}
    handle = model.upsampler[1].register_forward_hook(lambda *given: seen.update(up=given[-1].clone()))
    out, cache = lens.run_with_cache(example, points=["upsample.1.hook_out", "hook_waveform"])
    handle.remove()
    assert torch.equal(cache["upsample.1.hook_out"], seen["up"])
    assert torch.equal(cache["hook_waveform"], out)


def test_frames_of_the_vocoder_grow_finer():
    with torch.device("meta"):
        model = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig())
    layout = family_for(model).layout_of(model)
    assert layout.of("hook_spectrogram").hop == pytest.approx(0.016)  # 256 samples of 16 kHz
    assert layout.of("upsample.0.hook_out").hop == pytest.approx(0.004)
    assert layout.of("resblocks.11.blocks.0.hook_resid_post").hop == pytest.approx(1 / 16_000)


def test_the_flow_of_vits_turns_what_is_drawn_into_a_spectrogram():
    model, example = MODELS["vits"]()
    lens = anylens.attach(model)
    points = ["flow.hook_latent", "flow.*.hook_*", "decoder.hook_spectrogram", "decoder.hook_waveform"]
    out, cache = lens.run_with_cache(example, points=points)
    assert torch.equal(cache["decoder.hook_spectrogram"], out.spectrogram)
    assert torch.equal(cache["decoder.hook_waveform"][:, 0], out.waveform)
    for after, before in (
        (1, 2),
        (0, 1),
    ):  # the last layer goes first, and the channels are turned round between
        turned = cache[f"flow.{before}.hook_out"].flip(1)
        assert torch.equal(cache[f"flow.{after}.hook_in"], turned)
    first = cache["flow.2.hook_in"][:, 5:] - cache["flow.2.hook_mean"]
    mask = (cache["flow.2.hook_out"][:, 5:] != 0).float()
    assert torch.equal(cache["flow.2.hook_out"][:, 5:], first * mask)


def test_the_flow_goes_both_ways_and_keeps_volumes():
    model, example = MODELS["vits_flow"]()
    lens = anylens.attach(model)
    latents, cache = lens.run_with_cache(example, points="flow.*.hook_log_det")
    assert all((value == 0).all() for value in cache.values())
    back, turned = lens.run_with_cache(
        {**example, "inputs": latents, "reverse": True}, points="flow.*.hook_out"
    )
    torch.testing.assert_close(back, example["inputs"], atol=1e-5, rtol=1e-5)
    assert set(turned) == {f"flow.{number}.hook_out" for number in range(3)}
