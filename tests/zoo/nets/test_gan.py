"""Shapes of a generator and a discriminator, and that one learns from the other."""

import pytest
import torch

from anylens.zoo.nets.gan import GAN, Choices, Discriminator, Generator


@pytest.mark.parametrize(("stages", "size"), [(1, 8), (2, 16), (3, 32)])
def test_sizes_follow_the_number_of_stages(stages, size):
    gan = GAN(Generator(7, 5, stages), Discriminator(5, stages)).eval()
    judged = gan(torch.randn(2, 7))
    assert judged.picture.shape == (2, 3, size, size)
    assert judged.logit.shape == (2,)
    assert judged.picture.abs().max() <= 1
    assert gan.sample(3).shape == (3, 3, size, size)


def test_the_largest_number_of_a_group_is_chosen_and_the_rest_is_kept():
    latent = torch.tensor([[0.1, 2.0, -1.0, 0.5, -0.5, 3.0, -3.0]])
    made = Choices([3, 2])(latent)
    assert torch.allclose(made, torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0, 3.0, -3.0]]), atol=1e-4)
    assert torch.equal(Choices()(latent), latent)


def test_a_generator_draws_what_was_chosen_however_large_the_number():
    torch.manual_seed(0)
    made, latent = Generator(7, 5, 2, choices=[3]).eval(), torch.randn(1, 7)
    latent[0, :3] = torch.tensor([0.0, 4.0, 1.0])
    larger, other = latent.clone(), latent.clone()
    larger[0, 1] = 8
    other[0, 2] = 8
    own = made(latent)
    assert (made(larger) - own).abs().max() < 1e-3 * (made(other) - own).abs().max()


def test_a_gradient_of_the_judgement_reaches_the_generator():
    gan = GAN(Generator(7, 5, 2), Discriminator(5, 2))
    gan(torch.randn(2, 7)).logit.sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in gan.generator.stages[0].parameters())


def test_a_discriminator_learns_to_tell_light_from_dark():
    torch.manual_seed(0)
    model = Discriminator(4, 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    light, dark = torch.rand(16, 3, 8, 8), -torch.rand(16, 3, 8, 8)
    wanted = torch.cat([torch.ones(16), torch.zeros(16)])
    for _ in range(20):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(torch.cat([light, dark])), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (model(light) > 0).all()
    assert (model(dark) < 0).all()
