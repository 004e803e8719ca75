"""Tiny random pipelines of diffusers' real classes, each with a tokenizer of a few letters where it takes a prompt."""

from typing import Any

import torch

UNET = {
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
}


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    return pipe


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=11)


def stable_diffusion(scheduler: str = "DDIMScheduler") -> Any:
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    options = {"steps_offset": 1, "clip_sample": False} if scheduler == "DDIMScheduler" else {}
    tokenizer = _tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
        max_position_embeddings=11, bos_token_id=52, eos_token_id=53, pad_token_id=53,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        **UNET, in_channels=4, out_channels=4, cross_attention_dim=12, attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=getattr(diffusers, scheduler)(num_train_timesteps=1000, **options), safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    return _quiet(pipe)


def unconditional(pipeline: str = "DDPMPipeline") -> Any:
    import diffusers

    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        **UNET, in_channels=3, out_channels=3, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    scheduler = getattr(diffusers, pipeline.replace("Pipeline", "Scheduler"))(num_train_timesteps=1000)
    pipe = getattr(diffusers, pipeline)(unet=unet, scheduler=scheduler)
    return _quiet(pipe)


def class_conditional() -> Any:
    import diffusers

    torch.manual_seed(0)
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=6, in_channels=4, out_channels=8, num_layers=2, sample_size=8,
        num_embeds_ada_norm=1000, patch_size=2,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipe = diffusers.DiTPipeline(transformer=transformer, vae=vae, scheduler=diffusers.DDIMScheduler())
    return _quiet(pipe)
