"""Attention on an input: the model's own patterns, and where their positions lie."""

import pytest
import torch

import anylens
from anylens.core.errors import RunError
from anylens.features import attention
from anylens.features.kinds import Behind
from anylens.zoo.feeding import Samples


def test_a_generation_has_a_query_for_each_written_token_over_the_sound():
    lens, data = anylens.load("zoo:vowels-whisper"), Samples("vowels-whisper", 2, split="held_out")
    given, truth = data[0], data.truth(0)
    found = attention(
        lens, given, points="decoder.*.cross_attn.hook_pattern", method="generate", row=0,
        behind=Behind(sound=truth.waveform, rate=truth.rate),
    )  # fmt: skip
    pattern = found.patterns[0]
    assert pattern.queries.view.words[-1] == "(end)"
    said = " ".join(word.strip() for word in pattern.queries.view.words[1:-1])
    assert said.replace(" ", "") == truth.transcripts[0].replace(" ", "")  # this model writes it down rightly
    assert pattern.keys.places[10].seconds == pytest.approx((0.2, 0.22))
    assert set(pattern.keys.view.media) == {"sound", "spectrogram"}
    torch.testing.assert_close(pattern.values.sum(-1), torch.ones(pattern.values.shape[:-1]))


def test_a_prompt_is_looked_at_from_cells_at_each_step():
    lens = anylens.load("zoo:shapes-diffusion")
    given = {"prompt": ["a red circle", "large blue star"], "num_inference_steps": 2, "output_type": "np"}
    found = attention(lens, given, points="unet.mid.*.cross_attn.hook_pattern", row=1)
    pattern = found.patterns[0]
    assert pattern.values.shape[0] == 2
    assert pattern.keys.view.words[1:4] == ("large", "blue", "star")
    assert [place.box is not None for place in pattern.queries.places] == [True] * 16
    assert "picture" in pattern.queries.view.media


def test_what_is_no_pattern_is_refused(tiny):
    with pytest.raises(RunError, match="no pattern"):
        attention(tiny[0], {"pixel_values": torch.rand(1, 3, 32, 32)}, points="blocks.0.hook_resid_post")


def test_a_notebook_shows_features_attention_and_caches(tiny, surveyed):
    lens, _ = tiny
    *_, found = surveyed
    known = found[found.alive[0]]
    shown = known._repr_html_()
    assert shown.count("<img") == len(known.strongest)
    assert f"Feature {known.number}: active in" in shown
    assert repr(found) in found._repr_html_()
    given = {"pixel_values": torch.rand(1, 3, 32, 32)}
    assert (
        attention(lens, given)._repr_html_().count("data:image/png;base64,") == 4
    )  # two layers of two heads
    _, cache = lens.run_with_cache(given, points="blocks.0.hook_resid_post")
    assert '<td style="text-align:left">blocks.0.hook_resid_post</td>' in cache._repr_html_()
    _, steps = lens.record(given, points="blocks.0.hook_resid_post")
    assert '<td style="text-align:left">batch pos d_model</td>' in steps._repr_html_()
