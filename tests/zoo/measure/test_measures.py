"""The measures tell good models from bad ones."""

import torch

from anylens.zoo.measure import shapes_clip, shapes_flow, shapes_gan
from anylens.zoo.measure.judge import Verdict, judged, obedience
from anylens.zoo.train.captions import caption_tokenizer
from anylens.zoo.worlds.halved import BITS_OF_SCALE, dequantised, halved
from anylens.zoo.worlds.shapes import sample


def test_the_judge_knows_the_worlds_own_pictures():
    batch = sample(128, seed=0, split="held_out")
    wanted = [scene.label for scene in batch.scenes]
    assert obedience(judged(batch.pixels), wanted)["obeyed"] > 0.95
    assert obedience(judged(batch.pixels.flip(0)), wanted)["obeyed"] < 0.2


def test_obedience_is_counted_as_a_whole_and_by_halves():
    verdict = Verdict(("red circle", "blue star", "red star"), torch.ones(3))
    scores = obedience(verdict, ["red circle", "blue ring", "green star"])
    assert scores == {"obeyed": 1 / 3, "obeyed_of": {"colour": 2 / 3, "shape": 2 / 3}}


def test_a_gan_that_makes_one_picture_only_lacks_the_others():
    pictures = sample(500, seed=0, split="held_out").pixel_values

    def model_of(pictures):
        generator = lambda latents: pictures[: len(latents)]  # noqa: E731
        generator.latent = 40
        return type("Model", (), {"generator": staticmethod(generator)})

    every = shapes_gan.measure(model_of(pictures), samples=250, seed=0)
    assert every["recognised"] > 0.95
    assert every["absent"] == 0
    assert sum(every["shares"]["shape"].values()) == 1
    assert every["obeyed"] < 0.1  # these are not what the latents ask for
    one = shapes_gan.measure(model_of(pictures[:1].expand(250, -1, -1, -1)), samples=250, seed=0)
    assert one["absent"] == 12
    grey = shapes_gan.measure(model_of(torch.rand(250, 3, 32, 32) * 0.1), samples=250, seed=0)
    assert grey["recognised"] < one["recognised"]


def test_halved_pictures_are_whole_levels_and_come_back_from_noise():
    levels = halved(sample(8, seed=0).pixels)
    assert levels.shape == (8, 3, 16, 16)
    assert torch.equal(levels, levels.round())
    assert torch.equal(((dequantised(levels) + 1) * 128).floor(), levels)


def test_bits_of_the_uniform_density_are_those_of_its_levels():
    pictures = torch.zeros(4, 3, 16, 16)
    uniform = torch.full((4,), -768 * torch.log(torch.tensor(2.0)))  # the density of -1..1 is a half
    assert abs(shapes_flow._bits(uniform, pictures) - 8) < 1e-5
    assert BITS_OF_SCALE == 7


def test_the_gaussians_bits_fall_when_it_knows_the_covariance():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 2, generator=generator, dtype=torch.float64)
    x[:, 1] = x[:, 0] + 0.1 * x[:, 1]
    found = shapes_flow._gaussian(x, x).mean()
    alone = sum(torch.distributions.Normal(one.mean(), one.std()).log_prob(one).mean() for one in x.T)
    assert found > alone + 1


def test_a_caption_that_is_another_pictures_too_counts_as_found():
    class Model:
        """Likes the first picture and caption of all."""

        def __call__(self, pixel_values, input_ids, **rest):
            scores = torch.zeros(len(pixel_values), len(input_ids))
            scores[:, 0] = scores[0, :] = 1
            return type("Out", (), {"logits_per_image": scores})

    processor = type("Processor", (), {"tokenizer": caption_tokenizer()})
    scores = shapes_clip.measure(Model(), processor=processor, samples=64, seed=0)
    captions = sample(64, seed=0, split="held_out").captions
    assert scores["caption_first"] == captions.count(captions[0]) / 64
