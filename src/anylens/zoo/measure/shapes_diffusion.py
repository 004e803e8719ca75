"""Scores `shapes-diffusion`: whether what it makes has the colour and shape that the prompt asks for."""

from __future__ import annotations

from typing import Any

import torch

from anylens.zoo.measure.judge import judged, obedience
from anylens.zoo.worlds.shapes import sample

BATCH = 64
STEPS = 20
GUIDANCE = 2.0


def measure(pipeline: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """Obedience to held-out captions, in 20 steps, as `shapes-vit` sees it.

    obeyed: colour and shape are both those of the caption. obeyed_of: one of them is.
    """
    scenes = sample(samples, seed=seed, split="held_out").scenes
    generator = torch.Generator().manual_seed(seed)
    made = [
        pipeline(
            [scene.caption for scene in scenes[start : start + BATCH]],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=generator,
            output_type="pt",
        ).images
        for start in range(0, samples, BATCH)
    ]
    scores = obedience(judged(torch.cat(made)), [scene.label for scene in scenes])
    return scores | {"steps": STEPS, "guidance": GUIDANCE}
