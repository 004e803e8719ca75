import json

import torch

from anylens.report.tour.findings import as_numbers
from anylens.report.tour.steering import KINDS, STRENGTHS, vectors_of


def test_attention_on_the_object_is_the_sum_over_its_patches(tour):
    lens, material, found, _ = tour
    _, cache = lens.run_with_cache(pixel_values=material.test.inputs, points="blocks.1.attn.hook_pattern")
    pattern = cache["blocks.1.attn.hook_pattern"]
    shares = []
    for picture in range(len(material.test)):
        on, total = 0.0, 0.0
        for patch in range(64):
            row, column = divmod(patch, 8)
            weight = pattern[picture, 1, 0, 1 + patch].item()
            inside = material.test.mask[picture, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].any()
            total += weight
            on += weight * bool(inside)
        shares.append(on / total)
    assert abs(sum(shares) / len(shares) - found.looking.on_object[1, 1].item()) < 1e-5


def test_the_colour_starts_in_the_object_and_ends_in_the_class_token(tour):
    """True of any model that reads its answer from the class token: the pictures differ in the object only."""
    _, material, found, _ = tour
    groups = found.patching.groups  # pair, point, group
    torch.testing.assert_close(groups[:, 0], torch.tensor([[0.0, 1.0, 0.0]]).expand(6, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(groups[:, -1], torch.tensor([[1.0, 0.0, 0.0]]).expand(6, 3), atol=1e-3, rtol=0)
    assert groups[:, 1:-1].std() > 0.01
    assert (material.clean.mask == material.corrupted.mask).all()


def test_steering_is_what_adding_the_vectors_by_hand_gives(tour):
    lens, material, found, _ = tour
    point = f"blocks.{found.steering.layer}.hook_resid_post"
    shapes = material.labels.shape
    expected = []
    for inputs, answer in zip(material.steered.inputs, material.steered.answers, strict=True):
        same = shapes[material.away.answers] == shapes[answer]
        towards, away = ({"pixel_values": side.inputs[same]} for side in (material.towards, material.away))
        _, to = lens.run_with_cache(**towards, points=point)
        _, fro = lens.run_with_cache(**away, points=point)
        way = to[point][:, 0].mean(0) - fro[point][:, 0].mean(0)

        def push(value, at, way=way):
            value[:, 0] += way
            return value

        expected.append(lens.run_with_hooks(pixel_values=inputs[None], hooks={point: push}).logits.argmax())
    assert torch.equal(found.steering.after, torch.stack(expected))
    before = lens.model(pixel_values=material.steered.inputs).logits.argmax(-1)
    assert torch.equal(found.steering.before, before)


def test_steering_compares_like_with_like(tour):
    lens, material, found, _ = tour
    steering = found.steering
    for kind in KINDS:
        assert steering.by_strength[kind][STRENGTHS.index(1.0)] == steering.by_layer[kind][steering.layer]
        assert steering.by_strength[kind][0] == steering.by_strength["own"][0]  # strength 0 is no edit
    vectors = vectors_of(lens, material)
    for own, random in zip(vectors["own"], vectors["random"], strict=True):
        torch.testing.assert_close(own.norm(dim=-1), random.norm(dim=-1))


def test_ablation_is_what_setting_the_mean_by_hand_gives(tour):
    lens, material, found, _ = tour
    point, head = "blocks.0.attn.hook_z", 1
    _, cache = lens.run_with_cache(pixel_values=material.reference.inputs, points=point)

    def silence(value, at):
        value[:, :, head] = cache[point][:, :, head].mean(0)
        return value

    logits = lens.run_with_hooks(pixel_values=material.test.inputs, hooks={point: silence}).logits
    colours = [material.labels.names[n].split()[0] for n in logits.argmax(-1)]
    truths = [material.labels.names[n].split()[0] for n in material.test.answers]
    right = sum(a == b for a, b in zip(colours, truths, strict=True)) / len(truths)
    assert abs(right - found.ablation.accuracy_without[0, head, 0].item()) < 1e-6
    loss = 0.0
    for line, truth in zip(logits.softmax(-1), truths, strict=True):
        same = [n for n, name in enumerate(material.labels.names) if name.split()[0] == truth]
        loss -= line[same].sum().log().item() / len(truths)
    assert abs(loss - found.ablation.surprise_without[0, head, 0].item()) < 1e-4
    assert found.ablation.cost.abs().max() > 1e-3


def test_every_step_is_told_with_its_numbers(tour):
    _, material, found, said = tour
    assert len(said) == 5
    text = " ".join(words for _, words in said)
    assert f"{found.looking.chance:.0%}" in text
    assert f"{found.steering.best('shared').target:.0%}" in text
    assert f"mean over {len(material.clean)} pairs" in text


def test_numbers_are_plain_data(tour):
    *_, found, _ = tour
    assert json.loads(json.dumps(as_numbers(found))) == as_numbers(found)


def test_the_tour_leaves_the_model_alone(tour):
    lens, *_ = tour
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in lens.model.modules())
