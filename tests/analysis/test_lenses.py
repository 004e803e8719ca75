"""Readings of states: equal to running the model on from them, and on models where the answer is known."""

import pytest
import torch

import anylens
from anylens.analysis.logit_lens import logit_lens
from anylens.analysis.tuned_lens import TunedSettings, fit_tuned_lens
from anylens.core.errors import AnatomyError, AxisError, RunError
from anylens.zoo.feeding import Samples
from tests.analysis.planted import planted
from tests.analysis.test_weights import attached, text_model
from tests.models import common, music, speech

MADE = {
    "gpt2": common.gpt2,
    "llama": common.llama,
    "whisper": speech.whisper,
    "musicgen": music.musicgen,
    "vit": common.vit,
    "cohere": lambda: text_model("Cohere"),  # scales its logits
}


@pytest.mark.filterwarnings("ignore:.*pad_token_id")
@pytest.mark.parametrize("name", MADE)
def test_a_state_says_what_the_model_says_when_it_ends_there(name):
    """Against the model itself, run with the state put in the place of the last one."""
    lens, inputs = attached(MADE[name]())
    found = logit_lens(lens, inputs)
    assert found.exact
    base = "decoder." if name in ("whisper", "musicgen") else ""
    last = f"{base}blocks.1.hook_resid_post"
    assert found.points == (f"{base}blocks.0.hook_resid_pre", f"{base}blocks.0.hook_resid_post", last)
    for number, point in enumerate(found.points):
        _, cache = lens.run_with_cache(**inputs, points=point)
        with torch.no_grad():
            output = lens.run_with_hooks(**inputs, hooks={last: anylens.set_to(cache[point])}).logits
        mine = found.logits[number]
        if name == "vit":
            mine = mine[:, 0]
        if name == "musicgen":
            mine = mine.transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(mine, output, atol=1e-5, rtol=1e-4)
    assert found.kl()[-1].abs().max() < 1e-6
    assert found.kl()[0].mean() > 1e-6


def test_the_planted_answer_is_there_after_the_second_layer():
    made = planted(shift=1)
    lens = anylens.attach(made.model, made.clean)
    ranks = logit_lens(lens, made.clean, points="blocks.*.hook_resid_*").ranks(made.answers)
    points = logit_lens(lens, made.clean, points="blocks.*.hook_resid_*").points
    by_point = {point: ranks[n, :, -1] for n, point in enumerate(points)}
    assert bool((by_point["blocks.1.hook_resid_mid"] == 0).all())
    assert bool((by_point["blocks.1.hook_resid_post"] == 0).all())
    assert by_point["blocks.1.hook_resid_pre"].float().mean() > 1


def test_the_class_of_a_picture_comes_up_through_the_layers():
    lens = anylens.load("zoo:shapes-vit")
    samples = Samples("shapes-vit", 32, split="held_out")
    found = logit_lens(lens, samples[0])
    answer = found.final[:, 0].argmax(-1)
    right = (found.ranks(answer)[:, :, 0] == 0).float().mean(1)
    assert right[0] < 0.2
    assert right[-1] == 1
    assert right[-2] > right[1]


def test_a_decoder_of_speech_makes_up_its_mind():
    lens = anylens.load("zoo:vowels-whisper")
    sounds = Samples("vowels-whisper", 8, batch=8, split="held_out")[0]["input_features"]
    start = torch.full((8, 1), lens.model.config.decoder_start_token_id)
    tokens = torch.cat([start, lens.model.generate(sounds)], 1)
    found = logit_lens(lens, {"input_features": sounds, "decoder_input_ids": tokens[:, :-1]})
    assert torch.equal(found.final.argmax(-1)[:, :3], tokens[:, 1:4])
    assert bool((found.kl().flatten(1).mean(1).diff() < 0).all())
    first_vowel = tokens[:, 2]
    right = (found.ranks(first_vowel)[:, :, 1] == 0).float().mean(1)
    assert right.tolist()[::2] == [0, 1]  # not yet in the tokens, there in the end


def test_a_tuned_lens_comes_nearer_to_what_the_model_says():
    lens = anylens.load("zoo:grammar-gpt2")
    data = [inputs["input_ids"] for inputs in Samples("grammar-gpt2", 96, batch=24)]
    settings = TunedSettings(steps=40, rows=256, learning_rate=3e-3)
    tuned = fit_tuned_lens(lens, data, settings=settings)
    assert bool((tuned.after[:-1] < 0.7 * tuned.before[:-1]).all())
    assert tuned.before[-1] < 1e-6
    read = tuned.read(lens, data[-1])
    torch.testing.assert_close(read.kl().flatten(1).mean(1), tuned.after, atol=1e-5, rtol=1e-3)
    plain = logit_lens(lens, data[-1])
    torch.testing.assert_close(plain.kl().flatten(1).mean(1), tuned.before, atol=1e-5, rtol=1e-3)
    assert all(parameter.grad is None for parameter in lens.model.parameters())


def test_what_cannot_be_read_is_refused():
    bert, ids = attached(common.bert())
    with pytest.raises(AnatomyError, match="0 streams"):
        logit_lens(bert, ids)
    gpt2, ids = attached(common.gpt2())
    with pytest.raises(AxisError, match="the head of this stream reads"):
        logit_lens(gpt2, ids, points="blocks.0.attn.hook_z")
    with pytest.raises(RunError, match="hold out"):
        fit_tuned_lens(gpt2, [ids])
    assert not logit_lens(*attached(common.gemma2())).exact  # it caps its logits
