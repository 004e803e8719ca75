"""Autoencoders: the latent by mean, log-variance and sample, or by codes that can be read and edited."""

import pytest
import torch

import anylens
from tests.models import vae

pytestmark = pytest.mark.filterwarnings("ignore")

LATENT = ["latent.hook_mean", "latent.hook_log_var", "latent.hook_sample"]


@pytest.fixture
def autoencoder() -> anylens.Lens:
    return anylens.attach(vae.autoencoder()[0])


@pytest.fixture
def vq() -> anylens.Lens:
    return anylens.attach(vae.vq()[0])


def test_the_latent_is_the_models_own(autoencoder):
    pictures = vae.pictures()
    torch.manual_seed(1)
    _, cache = autoencoder.run_with_cache(pictures, sample_posterior=True, points=LATENT)
    with torch.no_grad():
        posterior = autoencoder.model.encode(pictures).latent_dist
        torch.manual_seed(1)
        sample = posterior.sample()
    assert torch.equal(cache["latent.hook_mean"], posterior.mean)
    assert torch.equal(cache["latent.hook_log_var"], posterior.logvar)
    assert torch.equal(cache["latent.hook_sample"], sample)
    assert {autoencoder.points[name].axes for name in LATENT} == {("batch", "channel", "height", "width")}


def test_without_sampling_the_mean_is_decoded(autoencoder):
    pictures = vae.pictures()
    _, cache = autoencoder.run_with_cache(pictures, points=LATENT)
    assert torch.equal(cache["latent.hook_sample"], cache["latent.hook_mean"])


def test_edits_of_the_latent_reach_the_picture(autoencoder):
    pictures, model = vae.pictures(), autoencoder.model
    calm = {"latent.hook_log_var": anylens.set_to(-60.0)}
    with torch.no_grad():
        expected = model(pictures).sample
        seen = autoencoder.run_with_hooks(pictures, sample_posterior=True, hooks=calm).sample
        zero = autoencoder.run_with_hooks(pictures, hooks={"latent.hook_mean": anylens.scale(0)}).sample
        torch.testing.assert_close(seen, expected)
        torch.testing.assert_close(zero, model.decode(torch.zeros(2, 5, 8, 6)).sample)


def test_parts_are_named_by_half_and_place(autoencoder, vq):
    for lens in (autoencoder, vq):
        prefixes = [stream.prefix for stream in lens.anatomy.streams]
        assert "encoder.mid.attentions.0" in prefixes
        assert "decoder.up.0.resnets" in prefixes
        assert all(prefix.startswith(("encoder.", "decoder.")) for prefix in prefixes)


def test_one_half_alone_runs_through_the_same_lens(autoencoder):
    pictures, latent = vae.pictures(), torch.randn(2, 5, 8, 6)
    name = "decoder.mid.resnets.0.blocks.0.hook_resid_pre"
    out, cache = autoencoder.run_with_cache(latent, points=[name, "latent.hook_sample"], method="decode")
    assert torch.equal(cache["latent.hook_sample"], latent)
    assert torch.equal(out.sample, autoencoder.model.decode(latent).sample)
    _, cache = autoencoder.run_with_cache(pictures, points="encoder.*.hook_resid_post", method="encode")
    assert len(cache) == 5


def test_a_lens_on_encode_reads_and_edits_the_distribution():
    model = vae.autoencoder()[0]
    lens = anylens.attach(model, method="encode")
    pictures = vae.pictures()
    out, cache = lens.run_with_cache(pictures, points="latent.*")
    assert torch.equal(cache["latent.hook_mean"], out.latent_dist.mean)
    shifted = lens.run_with_hooks(pictures, hooks={"latent.hook_mean": anylens.add(torch.tensor(1.0))})
    assert torch.equal(shifted.latent_dist.mean, out.latent_dist.mean + 1)


def test_codes_are_those_of_the_quantiser(vq):
    pictures, model = vae.pictures(), vq.model
    _, cache = vq.run_with_cache(pictures, points="latent.*")
    with torch.no_grad():
        _, _, (_, _, codes) = model.quantize(model.encode(pictures).latents)
    assert torch.equal(cache["latent.hook_codes"], codes.reshape(2, 8, 6))
    assert vq.points["latent.hook_codes"].axes == ("batch", "height", "width")
    entries = model.quantize.embedding.weight[cache["latent.hook_codes"]].permute(0, 3, 1, 2)
    torch.testing.assert_close(cache["latent.hook_quantized"], entries)


def test_codes_follow_a_picture_of_another_size(vq):
    _, cache = vq.run_with_cache(torch.randn(3, 3, 8, 20), points="latent.hook_codes")
    assert cache["latent.hook_codes"].shape == (3, 4, 10)


def test_a_code_set_by_hand_is_decoded(vq):
    pictures, model = vae.pictures(), vq.model
    hooks = {"latent.hook_codes": anylens.set_to(4).on(height=2, width=slice(1, 3))}
    with vq.hooks(hooks):
        _, cache = vq.run_with_cache(pictures, points=["latent.hook_codes", "latent.hook_quantized"])
    assert (cache["latent.hook_codes"][:, 2, 1:3] == 4).all()
    entry = model.quantize.embedding.weight[4]
    torch.testing.assert_close(cache["latent.hook_quantized"][:, :, 2, 1], entry.expand(2, -1))
    with torch.no_grad():
        before, after = model(pictures).sample, vq.run_with_hooks(pictures, hooks=hooks).sample
    assert not torch.equal(before, after)
