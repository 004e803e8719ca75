"""The losses of the generative models are what they say."""

import math

import pytest
import torch

from anylens.zoo import load_model
from anylens.zoo.nets.gan import GAN
from anylens.zoo.train import shapes_gan, shapes_vae
from anylens.zoo.train.captions import caption_tokenizer
from anylens.zoo.train.denoising import encoded, scheduler, velocity_loss
from anylens.zoo.train.shapes_clip import configuration, take_over
from anylens.zoo.worlds.shapes import sample


def test_the_velocity_is_what_takes_noise_to_the_picture():
    torch.manual_seed(0)
    schedule, latents = scheduler(), torch.randn(5, 4, 8, 8)

    def perfect(noisy, times):
        kept = schedule.alphas_cumprod[times].reshape(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * latents) / (1 - kept).sqrt()
        return kept.sqrt() * noise - (1 - kept).sqrt() * latents

    assert velocity_loss(schedule, latents, perfect) < 1e-6
    assert velocity_loss(schedule, latents, lambda noisy, times: noisy) > 0.1
    assert schedule.alphas_cumprod[-1] < 1e-6  # the last time is noise alone


def test_encoded_pictures_are_of_unit_variance_and_keep_their_scenes():
    pool = encoded(load_model("shapes-vae"), n=300, seed=3)
    assert len(pool.scenes) == len(pool.latents) == 512
    assert pool.latents.std() == pytest.approx(1, abs=0.1)
    scenes, latents = pool.draw(6)
    for scene, latent in zip(scenes, latents, strict=True):
        assert any(torch.equal(pool.latents[i], latent) for i, one in enumerate(pool.scenes) if one is scene)


def test_the_bound_counts_what_was_missed_and_what_the_code_costs():
    torch.manual_seed(0)
    model, pictures = shapes_vae.untrained(), sample(4, seed=0).pixel_values
    posterior = model.encode(pictures).latent_dist
    state = torch.get_rng_state()
    missed = (model.decode(posterior.sample()).sample - pictures).square().sum() / 4
    torch.set_rng_state(state)
    nats = missed / (2 * shapes_vae.SPREAD**2) + posterior.kl().mean()
    assert shapes_vae.bound(model, pictures).item() == pytest.approx(nats.item() / 3072, rel=1e-4)
    assert posterior.kl().mean() > 0


def test_each_player_of_the_gan_descends_its_own_loss():
    torch.manual_seed(0)
    model, real = GAN.of(latent=8, width=8), sample(6, seed=0).pixel_values

    def gradients(loss, part):
        return torch.autograd.grad(loss, list(part.parameters()), allow_unused=True)

    state = torch.get_rng_state()
    together = shapes_gan.loss_of(model, real)
    whole = gradients(together, model)
    torch.set_rng_state(state)
    made = model.generator(torch.randn(6, 8))
    judged = model.discriminator(made)
    alone = gradients(torch.nn.functional.softplus(-judged).mean(), model.generator)
    for one, other in zip(whole, alone, strict=False):  # the generator's come first
        assert torch.allclose(one, other, atol=1e-6)


def test_clip_starts_from_the_classifiers_embeddings():
    from transformers import CLIPModel

    classifier, clip = load_model("shapes-vit"), CLIPModel(configuration(caption_tokenizer()))
    take_over(classifier, clip.vision_model)
    pictures = sample(3, seed=0).pixel_values
    assert torch.allclose(
        clip.vision_model.embeddings(pictures), classifier.vit.embeddings(pictures), atol=1e-5
    )
    first, given = clip.vision_model.encoder.layers[0], classifier.vit.layers[0]
    x = torch.randn(2, 65, 80)
    assert torch.allclose(first(x, attention_mask=None), given(x), atol=1e-4)


def test_shares_of_the_prompts():
    import random

    from anylens.zoo.train.shapes_diffusion import SHORT, UNCONDITIONAL, _prompt

    scene, chooser = sample(1, seed=0).scenes[0], random.Random(0)
    prompts = [_prompt(scene, chooser) for _ in range(2000)]
    for prompt, share in (("", UNCONDITIONAL), (f"a {scene.label}", SHORT)):
        assert math.isclose(prompts.count(prompt) / 2000, share, abs_tol=0.03)
