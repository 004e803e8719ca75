"""Tiny denoisers of diffusers: the networks that a diffusion or flow-matching pipeline calls at every step."""

from collections.abc import Callable

import torch

from tests.models.common import BATCH, Made

TOKENS, TEXT, POOLED = 7, 10, 9  # prompt tokens, their width, the width of the whole prompt's vector
GRID = (8, 12)  # height and width of the U-Nets' latents
STEPS = torch.tensor([3.0, 11.0])  # one for each row of the batch


def latents(channels: int, *size: int) -> torch.Tensor:
    return torch.randn(BATCH, channels, *size)


def prompt(width: int = TEXT) -> torch.Tensor:
    return torch.randn(BATCH, TOKENS, width)


def unet() -> Made:
    import diffusers

    model = diffusers.UNet2DModel(
        sample_size=GRID,
        in_channels=3,
        out_channels=3,
        block_out_channels=(12, 24),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
    )
    return model.eval(), {"sample": latents(3, *GRID), "timestep": STEPS}


def unet_condition() -> Made:
    import diffusers

    model = diffusers.UNet2DConditionModel(
        sample_size=GRID,
        block_out_channels=(12, 24),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=TEXT,
        attention_head_dim=3,
    )
    given = {"sample": latents(4, *GRID), "timestep": STEPS, "encoder_hidden_states": prompt()}
    return model.eval(), given


def unet_large() -> Made:
    """The shape of Stable Diffusion XL: several transformer blocks at a place, sizes and the whole prompt beside it."""
    import diffusers

    model = diffusers.UNet2DConditionModel(
        sample_size=GRID,
        block_out_channels=(12, 24),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        transformer_layers_per_block=(1, 2),
        use_linear_projection=True,
        norm_num_groups=4,
        cross_attention_dim=TEXT,
        attention_head_dim=(2, 3),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + POOLED,
    )
    sizes = torch.tensor([[64.0, 96.0, 0.0, 0.0, 64.0, 96.0]]).repeat(BATCH, 1)
    given = {
        "sample": latents(4, *GRID),
        "timestep": STEPS,
        "encoder_hidden_states": prompt(),
        "added_cond_kwargs": {"text_embeds": torch.randn(BATCH, POOLED), "time_ids": sizes},
    }
    return model.eval(), given


def dit() -> Made:
    import diffusers

    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=10,
        patch_size=2,
        num_embeds_ada_norm=11,
    )
    given = {"hidden_states": latents(4, 10, 10), "timestep": STEPS, "class_labels": torch.tensor([4, 9])}
    return model.eval(), given


def sd3() -> Made:
    import diffusers

    model = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=3,
        joint_attention_dim=TEXT,
        caption_projection_dim=24,
        pooled_projection_dim=POOLED,
        out_channels=4,
        pos_embed_max_size=12,
    )
    given = {
        "hidden_states": latents(4, 8, 8),
        "encoder_hidden_states": prompt(),
        "pooled_projections": torch.randn(BATCH, POOLED),
        "timestep": STEPS,
    }
    return model.eval(), given


def flux() -> Made:
    import diffusers

    model = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=5,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=3,
        joint_attention_dim=TEXT,
        pooled_projection_dim=POOLED,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    rows, columns = 4, 5
    cells = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    given = {
        "hidden_states": torch.randn(BATCH, rows * columns, 5),
        "encoder_hidden_states": prompt(),
        "pooled_projections": torch.randn(BATCH, POOLED),
        "timestep": STEPS / 1000,
        "img_ids": torch.cat([torch.zeros(len(cells), 1), cells], -1),
        "txt_ids": torch.zeros(TOKENS, 3),
        "guidance": torch.full((BATCH,), 3.5),
    }
    return model.eval(), given


MODELS: dict[str, Callable[[], Made]] = {
    make.__name__: make for make in (unet, unet_condition, dit, sd3, flux)
}
