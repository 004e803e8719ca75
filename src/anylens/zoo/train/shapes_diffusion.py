"""Trains `shapes-diffusion`: a U-Net that makes pictures of captions in the latent space of `shapes-vae`.

Run `python -m anylens.zoo.train.shapes_diffusion`. The text encoder is that of `shapes-clip`, frozen, so what it makes
of the prompts is worked out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.loading import load_model
from anylens.zoo.train.captions import caption_tokenizer, encode
from anylens.zoo.train.denoising import encoded, scheduler, velocity_loss
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.shapes import Scene

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

BATCH = 48
WIDTH = 80  # of the text encoder
UNCONDITIONAL = 0.1
"""How often the caption is left out, so that guidance has something to lead away from."""

SHORT = 0.15
"""How often the caption names colour and shape only, as people do."""


def unet() -> UNet2DConditionModel:
    """The denoiser: 8 x 8 latents, then 4 x 4, where it attends to the caption."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=8,
    )


def text_encoder() -> CLIPTextModel:
    """The text encoder of `shapes-clip`, which stays as it is."""
    from transformers import CLIPTextModel

    clip = load_model("shapes-clip")
    model = CLIPTextModel(clip.config.text_config)
    model.load_state_dict(clip.text_model.state_dict())
    return model.eval().requires_grad_(False)


def train(plan: Plan) -> Trained:
    """The pipeline with its trained denoiser."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(plan.seed)
    vae, tokenizer, schedule = load_model("shapes-vae"), caption_tokenizer(), scheduler()
    model, encoder = unet(), text_encoder()
    pool = encoded(vae, seed=plan.seed)
    prompts = Prompts.of(encoder, tokenizer, pool.scenes)

    def loss_at(step: int) -> Tensor:
        places, latents = pool.draw(BATCH)
        words = prompts.draw(places)
        return velocity_loss(schedule, latents, lambda noisy, times: model(noisy, times, words).sample)

    outcome = fit(model, loss_at, plan)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=model,
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return Trained(model=pipeline, seconds=outcome.seconds)


@dataclass(frozen=True)
class Prompts:
    """What the text encoder makes of prompts, each [token, width]: of scenes' captions and short labels, and of none.

    captions, labels: [scene, token, width]. none: [token, width].
    """

    captions: Tensor
    labels: Tensor
    none: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, encoder: Any, tokenizer: Any, scenes: Sequence[Scene]) -> Prompts:
        """Encode all prompts of these scenes."""

        def states(texts: list[str]) -> Tensor:
            ids = encode(tokenizer, texts)["input_ids"]
            return torch.cat([encoder(part).last_hidden_state for part in ids.split(256)])

        names = sorted({scene.label for scene in scenes})
        short = states([f"a {name}" for name in names])
        labels = torch.tensor([names.index(scene.label) for scene in scenes])
        return cls(states([scene.caption for scene in scenes]), short[labels], states([""])[0])

    def draw(self, places: Tensor) -> Tensor:
        """A prompt for the scene at each place, mostly its caption: [n, token, width]."""
        chance = torch.rand(len(places), 1, 1)
        words = torch.where(chance < UNCONDITIONAL + SHORT, self.labels[places], self.captions[places])
        return torch.where(chance < UNCONDITIONAL, self.none, words)


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=warmup, average=0.998, report_every=100)


SCRIPT = Script(name="shapes-diffusion", steps=11000, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
