"""The losses of the generative models are what they say."""

import math

import pytest
import torch

from anylens.zoo import load_model
from anylens.zoo.nets.gan import GAN
from anylens.zoo.train import shapes_gan, shapes_vae
from anylens.zoo.train.captions import caption_tokenizer, encode
from anylens.zoo.train.denoising import encoded, scheduler, velocity_loss
from anylens.zoo.train.shapes_clip import configuration, take_over
from anylens.zoo.worlds.shapes import ShapesBatch, sample


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
    vae = load_model("shapes-vae")
    pool = encoded(vae, n=300, seed=3)
    assert len(pool.scenes) == len(pool.latents) == 512
    assert pool.latents.std() == pytest.approx(1, abs=0.1)
    places, latents = pool.draw(6)
    assert torch.equal(latents, pool.latents[places])
    with torch.no_grad():
        posterior = vae.encode(
            ShapesBatch.of(pool.scenes[place] for place in places).pixel_values
        ).latent_dist
    assert torch.allclose(posterior.mode() * vae.config.scaling_factor, latents, atol=1e-4)


def test_the_bound_counts_what_was_missed_and_what_the_code_costs():
    torch.manual_seed(0)
    model, pictures = shapes_vae.untrained(), sample(4, seed=0).pixel_values
    posterior = model.encode(pictures).latent_dist
    state = torch.get_rng_state()
    made = model.decode(posterior.sample()).sample
    torch.set_rng_state(state)
    nats = (made - pictures).square().sum() / 4 / (2 * 0.05**2) + posterior.kl().mean()
    returned, bound = shapes_vae.bound(model, pictures, 0.05)
    assert torch.equal(returned, made)
    assert bound.item() == pytest.approx(nats.item() / 3072, rel=1e-4)
    assert posterior.kl().mean() > 0


def test_a_picture_is_like_itself_and_less_like_others():
    classifier, pictures = load_model("shapes-resnet"), sample(8, seed=0).pixel_values
    itself = shapes_vae.unlikeness(classifier, pictures, pictures)
    dimmed = shapes_vae.unlikeness(classifier, pictures * 0.5, pictures)
    assert itself < dimmed < shapes_vae.unlikeness(classifier, pictures.flip(0), pictures)


def test_each_player_of_the_gan_descends_its_own_loss():
    torch.manual_seed(0)
    model, real = GAN.of(latent=8, width=8), sample(6, seed=0).pixel_values

    def gradients(loss, part):
        return torch.autograd.grad(loss, list(part.parameters()), allow_unused=True)

    judge, latents = model.discriminator, torch.randn(6, 8)
    unmasked = torch.nn.functional.softplus(-judge(model.generator(latents))).mean()
    alone = gradients(unmasked, model.generator)
    whole = gradients(shapes_gan.loss_of(judge, real, model.generator(latents)), model)
    for one, other in zip(whole, alone, strict=False):  # the generator's come first
        assert torch.allclose(one, other, atol=1e-6)


def test_a_small_object_counts_as_much_as_a_large_one():
    ink = torch.zeros(2, 32, 32)
    ink[0, 15:17, 15:17], ink[1, 4:28, 4:28] = 1, 1
    more = shapes_gan.weights_of(ink) - 1
    assert more[0, 0, 14, 14] > more[1, 0, 14, 14] > more[1, 0, 0, 0] == 0  # the pixels around count too
    assert torch.allclose(more.mean((1, 2, 3)), torch.tensor(shapes_gan.OBJECT))


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


def test_prompts_are_captions_short_labels_or_none():
    from anylens.zoo.train import shapes_diffusion

    scenes, tokenizer, encoder = (
        sample(6, seed=0).scenes,
        caption_tokenizer(),
        shapes_diffusion.text_encoder(),
    )
    prompts = shapes_diffusion.Prompts.of(encoder, tokenizer, scenes)
    ids = encode(tokenizer, [scenes[2].caption, f"a {scenes[2].label}", ""])["input_ids"]
    caption, label, none = encoder(ids).last_hidden_state
    drawn = prompts.draw(torch.full((2000,), 2))
    for words, share in (
        (none, shapes_diffusion.UNCONDITIONAL),
        (label, shapes_diffusion.SHORT),
        (caption, 1 - shapes_diffusion.UNCONDITIONAL - shapes_diffusion.SHORT),
    ):
        found = (drawn - words).abs().amax((1, 2)) < 1e-5
        assert math.isclose(found.float().mean(), share, abs_tol=0.03)


def test_the_text_encoder_is_that_of_clip():
    from anylens.zoo.train import shapes_diffusion

    ids = encode(caption_tokenizer(), ["a red circle"])["input_ids"]
    theirs = load_model("shapes-clip").text_model(ids).last_hidden_state
    assert torch.equal(shapes_diffusion.text_encoder()(ids).last_hidden_state, theirs)
