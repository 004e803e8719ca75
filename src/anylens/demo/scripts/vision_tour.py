"""The code of the further sections of the vision demo, cell by cell; `python vision_tour.py` runs it."""
# mypy: ignore-errors

# %% setup: a lens on a trained model, and pictures that it was not trained on
from dataclasses import replace

import anylens
from anylens.analysis.metrics import logit_difference
from anylens.analysis.patching import patching_sweep
from anylens.zoo.worlds import shapes

lens = anylens.load("zoo:shapes-vit")
test = shapes.sample(64, seed=10, split="held_out")
print(lens.points)

# %% attention: how much of the class token's attention to the patches lands on the object
_, cache = lens.run_with_cache(pixel_values=test.pixel_values, points="blocks.*.attn.hook_pattern")
covered = test.coverage(patch=4).flatten(1) > 0
for name, pattern in cache.items():  # picture, head, query position, key position
    looks = pattern[:, :, 0, 1:]
    on_object = (looks * covered[:, None]).sum(-1) / looks.sum(-1)
    print(name, on_object.mean(0))  # one number for each head

# %% patching: where the colour sits
red_star = shapes.Scene(
    shape="star", colour="red", size="large", background="gradient", x=19, y=13, noise_seed=7
)
red, blue = (shapes.ShapesBatch.of([replace(red_star, colour=colour)]) for colour in ("red", "blue"))
first, second = (lens.model.config.label2id[f"{colour} star"] for colour in ("red", "blue"))
grid = patching_sweep(
    lens,
    {"pixel_values": blue.pixel_values},
    source={"pixel_values": red.pixel_values},
    points="blocks.*.hook_resid_pre",
    metric=logit_difference(first, second),
)
print(grid.recovered[0])  # point, position: 0 is the blue picture's answer, 1 the red one's


# %% steering: push the class token of red stars to blue
def stars(split, seed, count, colour):
    """Stars of a colour, as the model takes them."""
    scenes = [s for s in shapes.sample(count, seed=seed, split=split).scenes if s.shape == "star"]
    return {"pixel_values": shapes.ShapesBatch.of(replace(s, colour=colour) for s in scenes).pixel_values}


point = "blocks.3.hook_resid_post"
blue, red = (stars("train", 1, 96, colour) for colour in ("blue", "red"))
way = anylens.difference_of_means(lens, [blue], [red], points=point, positions="first")[point]
hooks = {point: anylens.steer(way, 1.0).on(pos=0)}  # position 0 is the class token
output = lens.run_with_hooks(stars("held_out", 12, 40, "red"), hooks=hooks)
print([lens.model.config.id2label[label] for label in output.logits.argmax(-1).tolist()])

# %% ablation: take one head away, by setting it to its mean over other pictures
point, head = "blocks.0.attn.hook_z", 1
_, cache = lens.run_with_cache(pixel_values=shapes.sample(96, seed=1).pixel_values, points=point)
mean = cache[point].mean(0)[:, [head]]
hooks = {point: anylens.ablate(mean).on(head=head)}
without = lens.run_with_hooks(pixel_values=test.pixel_values, hooks=hooks)
print(without.logits.argmax(-1))
