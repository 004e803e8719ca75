"""Scores `shapes-dit`: whether what it makes has the colour and shape of the class that was asked for."""

from __future__ import annotations

from typing import Any

import torch

from anylens.zoo.measure.judge import judged, obedience

BATCH = 64
STEPS = 20
GUIDANCE = 3.0


def measure(pipeline: Any, *, samples: int, seed: int) -> dict[str, Any]:
    """Obedience to classes, each as often as any other, in 20 steps, as `shapes-vit` sees it.

    obeyed: colour and shape are both those of the class. obeyed_of: one of them is.
    """
    names = {number: name for name, number in pipeline.labels.items()}
    classes = [number % len(names) for number in range(samples)]
    generator = torch.Generator().manual_seed(seed)
    made = [
        pipeline(
            class_labels=classes[start : start + BATCH],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=generator,
            output_type="pt",
        ).images
        for start in range(0, samples, BATCH)
    ]
    scores = obedience(judged(torch.cat(made)), [names[number] for number in classes])
    return scores | {"split": "each class as often", "steps": STEPS, "guidance": GUIDANCE}
