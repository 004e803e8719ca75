"""Samples as models take them hold what the truth says of them."""

import torch

from anylens.zoo.feeding import LATENT, Samples, latents
from anylens.zoo.loading import load_model
from anylens.zoo.worlds.shapes import FACTORS, sample


def test_latents_ask_for_the_scenes():
    batch, first = sample(64, seed=1), 0
    made = latents(batch, seed=2)
    for factor, values in FACTORS.items():
        assert torch.equal(made[:, first : first + len(values)].argmax(1), batch.factors[factor])
        first += len(values)
    rightmost = batch.factors["cell"] % 3 == 2
    x, place = batch.centres[rightmost, 0], made[rightmost, first]
    large = (
        batch.factors["size"][rightmost] == 2
    )  # within one cell and size, further right means a larger number
    assert torch.equal(x[large].argsort(), place[large].argsort())
    assert torch.equal(latents(batch, seed=2), made)
    assert not torch.equal(latents(batch, seed=3), made)


def test_latents_of_random_scenes_are_normally_distributed():
    made = latents(sample(2000, seed=0), seed=0)
    assert made.shape == (2000, LATENT)
    assert made.mean(0).abs().max() < 0.1
    assert torch.allclose(made.std(0), torch.ones(LATENT), atol=0.1)
    off = torch.corrcoef(made.T) - torch.eye(LATENT)
    assert off.abs().max() < 0.12


def test_what_musicgen_is_given_are_the_codes_of_the_melodies_each_one_later_than_it_is_written():
    samples, model = Samples("melodies-musicgen", 3, batch=2), load_model("melodies-musicgen")
    given, truth = samples[0], samples.truth(0)
    codebooks, start = model.config.decoder.num_codebooks, model.config.decoder.bos_token_id
    rows = given["decoder_input_ids"].view(2, codebooks, -1)
    with torch.no_grad():
        codes = model.audio_encoder.encode(truth.waveform[:, None]).audio_codes[0]
        out = model(**given)
    assert rows.shape == codes.shape
    for late in range(codebooks):
        assert (rows[:, late, : late + 1] == start).all()
        assert torch.equal(rows[:, late, late + 1 :], codes[:, late, : -late - 1])
    assert out.logits.shape == (2 * codebooks, rows.shape[-1], model.config.decoder.vocab_size)


def test_positions_of_musicgen_hold_notes_and_words_of_captions_hold_none():
    samples = Samples("melodies-musicgen", 2, batch=2)
    here = samples.labels(0, samples[0]["decoder_input_ids"].shape[-1:])
    assert torch.equal(here["note"], samples.truth(0).positions(hop=100)["note"])
    assert not {"note", "degree"} & set(samples.labels(0, (8,)))
