"""A language model that reads pictures: a vision tower, a projector, and image tokens among those of the text."""

import torch

from tests.models.common import HEADS, HIDDEN, WIDTH, Made

IMAGE_TOKEN = 50
PATCHES = 9  # three by three


def prompt(before: int, after: int, rows: int = 2) -> torch.Tensor:
    """Tokens before and after a picture's place, in which every patch has an image token."""
    tokens = torch.randint(3, IMAGE_TOKEN, (rows, before + PATCHES + after))
    tokens[:, before : before + PATCHES] = IMAGE_TOKEN
    return tokens


def llava() -> Made:
    import transformers

    tower = {"intermediate_size": 28, "num_hidden_layers": 3, "num_attention_heads": 2}
    text = {"intermediate_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": HEADS}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(hidden_size=20, image_size=12, patch_size=4, **tower),
        text_config=transformers.LlamaConfig(
            hidden_size=WIDTH,
            vocab_size=53,
            num_key_value_heads=HEADS,
            bos_token_id=1,
            eos_token_id=2,
            **text,
        ),
        image_token_id=IMAGE_TOKEN,
    )
    model = transformers.LlavaForConditionalGeneration(config).eval()
    return model, {"input_ids": prompt(2, 4), "pixel_values": torch.randn(2, 3, 12, 12)}


MODELS = {make.__name__: make for make in (llava,)}
