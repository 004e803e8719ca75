"""The code that the page of `anylens demo diffusion` shows; `python diffusion.py` runs it."""
# mypy: ignore-errors

# %% features: learn what the U-Net draws by, find the feature of a colour, and draw in it
import anylens
from anylens.features import survey
from anylens.harvest import Batches, InMemory, collect
from anylens.sae import Settings, make, train
from anylens.zoo.feeding import Samples

lens = anylens.load("zoo:shapes-diffusion")
point = "unet.up_blocks.0.attentions.1.transformer_blocks.0.attn2.hook_out"
how = {"num_inference_steps": 10, "guidance_scale": 3.0, "output_type": "pt"}
captions = Samples("shapes-diffusion", 128, seed=1).with_arguments(**how)
held_out = Samples("shapes-diffusion", 192, seed=5, split="held_out").with_arguments(**how)
rows = collect(lens, captions, points=point, steps=slice(None))[point].values  # every cell and step
sae = make("matryoshka", rows.shape[1], 64, k=6, widths=[24, 64])
train(sae, Batches(InMemory(rows), 1024, epochs=None), Settings(steps=400, lr=5e-3))
known = survey(lens, sae, held_out, point=point, steps=slice(None))
finds = [one for one in known.values() if str(one.factor) == "the picture's colour: white"]
best = max(finds, key=lambda one: one.factor.auroc)
white = anylens.steer(sae.feature(best.number), 1.5 * best.top)
following = slice(4, 8)  # guidance doubles the batch of four; these rows follow the captions
with lens.hooks({point: white.on(batch=following)}):
    made = lens.model(["a large red circle on grey"] * 4, num_inference_steps=10)
made.images[0].save("white.png")
