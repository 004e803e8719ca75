"""Generators and discriminators: the latent, the maps of every stage, the picture and the judgement."""

import torch

import anylens
from tests.models import gan


def test_every_part_is_claimed_and_needs_no_example():
    for make in gan.MODELS.values():
        lens = anylens.attach(make()[0])
        assert lens.family.name == "gan"
        assert all(point.axes[0] == "batch" for point in lens.points.canonical.values())


def test_points_of_both_parts_are_what_plain_hooks_see():
    model, given = gan.gan()
    lens, seen = anylens.attach(model), []
    handle = model.generator.stages[1].norm.register_forward_hook(lambda *args: seen.append(args[2]))
    out, cache = lens.run_with_cache(given, points=["hook_*", "generator.stages.1.hook_pre"])
    handle.remove()
    assert torch.equal(cache["generator.stages.1.hook_pre"], seen[0])
    assert torch.equal(cache["hook_latent"], given["latent"])
    assert torch.equal(cache["hook_picture"], out.picture)
    assert torch.equal(cache["hook_logit"], out.logit)


def test_a_channel_switched_off_changes_the_picture_and_the_judgement():
    model, given = gan.gan()
    lens = anylens.attach(model)
    name = "generator.stages.0.hook_post"
    channel = int(lens.run_with_cache(given, points=name)[1][name].amax((0, 2, 3)).argmax())
    off = lens.run_with_hooks(given, hooks={name: anylens.scale(0).on(channel=channel)})
    own = model(**given)
    assert not torch.equal(off.picture, own.picture)
    assert not torch.equal(off.logit, own.logit)


def test_a_picture_put_between_the_parts_is_what_the_discriminator_judges():
    model, given = gan.gan()
    picture = torch.randn(2, 3, 16, 16)
    out = anylens.attach(model).run_with_hooks(given, hooks={"hook_picture": anylens.set_to(picture)})
    assert torch.equal(out.logit, model.discriminator(picture))
