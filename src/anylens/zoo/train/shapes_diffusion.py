"""Trains `shapes-diffusion`: a U-Net that makes pictures of captions in the latent space of `shapes-vae`.

Run `python -m anylens.zoo.train.shapes_diffusion`; it takes about 15 minutes on one core. The text encoder is trained
with the U-Net, from nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anylens.zoo.loading import load_model
from anylens.zoo.train.captions import LONGEST, caption_tokenizer, encode
from anylens.zoo.train.denoising import encoded, scheduler, velocity_loss
from anylens.zoo.train.loop import Plan, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.shapes import Scene

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

BATCH = 32
WIDTH = 64  # of the text encoder
UNCONDITIONAL = 0.1
"""How often the caption is left out, so that guidance has something to lead away from."""

SHORT = 0.15
"""How often the caption names colour and shape only, as people do."""


def unet() -> UNet2DConditionModel:
    """The denoiser: 8 x 8 latents, then 4 x 4; cross-attention to the caption at both."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers' name for the number of heads
        norm_num_groups=8,
    )


def text_encoder(tokenizer: Any) -> CLIPTextModel:
    """Two layers over the tokens of a caption."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LONGEST,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def train(plan: Plan) -> Trained:
    """The pipeline with its trained parts."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(plan.seed)
    vae, tokenizer, schedule = load_model("shapes-vae"), caption_tokenizer(), scheduler()
    parts = nn.ModuleDict({"unet": unet(), "text_encoder": text_encoder(tokenizer)})
    pool, chooser = encoded(vae, seed=plan.seed), random.Random(plan.seed)

    def loss_at(step: int) -> Tensor:
        scenes, latents = pool.draw(BATCH)
        prompts = encode(tokenizer, [_prompt(scene, chooser) for scene in scenes])
        words = parts["text_encoder"](prompts["input_ids"]).last_hidden_state
        return velocity_loss(
            schedule, latents, lambda noisy, times: parts["unet"](noisy, times, words).sample
        )

    outcome = fit(parts, loss_at, plan)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=parts["text_encoder"],
        tokenizer=tokenizer,
        unet=parts["unet"],
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return Trained(model=pipeline, seconds=outcome.seconds)


def _prompt(scene: Scene, chooser: random.Random) -> str:
    """What the text encoder is given for a picture."""
    chance = chooser.random()
    if chance < UNCONDITIONAL:
        return ""
    return f"a {scene.label}" if chance < UNCONDITIONAL + SHORT else scene.caption


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(200, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=2e-3, warmup=warmup, average=0.995)


SCRIPT = Script(name="shapes-diffusion", steps=3500, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
