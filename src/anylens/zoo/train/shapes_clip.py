"""Trains `shapes-clip`: a picture encoder and a text encoder that bring pictures and their captions together.

Run `python -m anylens.zoo.train.shapes_clip`. The picture encoder starts from the first layers of `shapes-vit`, which
saves most of the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anylens.zoo.loading import load_model
from anylens.zoo.train.captions import LONGEST, caption_tokenizer, encode
from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.train.shapes_vit import configuration as vit_configuration
from anylens.zoo.train.shapes_vit import processor as picture_processor
from anylens.zoo.worlds.drawing import SIDE
from anylens.zoo.worlds.shapes import sample

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPProcessor

BATCH = 64
LAYERS = 4
JOINT = 48  # width of the space that both encoders end in

PARTS = {
    "layer_norm1": "layernorm_before",
    "layer_norm2": "layernorm_after",
    "self_attn.q_proj": "attention.q_proj",
    "self_attn.k_proj": "attention.k_proj",
    "self_attn.v_proj": "attention.v_proj",
    "self_attn.out_proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
"""Modules of a layer of CLIP's picture encoder, and what they are called in a vision transformer."""


def configuration(tokenizer: Any) -> CLIPConfig:
    """The sizes of both encoders."""
    from transformers import CLIPConfig

    vit = vit_configuration()
    shared = {"hidden_size": vit.hidden_size, "num_attention_heads": 4, "hidden_act": "gelu"}
    text = {
        "vocab_size": len(tokenizer),
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "max_position_embeddings": LONGEST,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "image_size": SIDE,
        "patch_size": vit.patch_size,
        "intermediate_size": vit.intermediate_size,
        "num_hidden_layers": LAYERS,
        "layer_norm_eps": vit.layer_norm_eps,
    }
    return CLIPConfig(text_config=shared | text, vision_config=shared | vision, projection_dim=JOINT)


def processor(tokenizer: Any) -> CLIPProcessor:
    """Turns pictures and captions into what the model takes."""
    from transformers import CLIPProcessor

    return CLIPProcessor(image_processor=picture_processor(), tokenizer=tokenizer)


def train(plan: Plan) -> Trained:
    """The trained model with its processor."""
    from transformers import CLIPModel

    torch.manual_seed(plan.seed)
    tokenizer = caption_tokenizer()
    model = CLIPModel(configuration(tokenizer))
    take_over(load_model("shapes-vit"), model.vision_model)

    def loss_at(step: int) -> Tensor:
        batch = sample(BATCH, seed=batch_seed(plan.seed, step), split="train")
        loss: Tensor = model(
            pixel_values=batch.pixel_values, **encode(tokenizer, batch.captions), return_loss=True
        ).loss
        return loss

    outcome = fit(model, loss_at, plan)
    return Trained(model=model, seconds=outcome.seconds, settings=(processor(tokenizer),))


@torch.no_grad()
def take_over(classifier: Any, vision: Any) -> None:
    """Give a picture encoder of CLIP the embeddings and first layers of a vision transformer.

    CLIP has no bias where patches are embedded, so the places' embeddings take it; and it normalises embeddings, which
    is set to leave their spread as it was.
    """
    given, taken = classifier.vit.embeddings, vision.embeddings
    projection = given.patch_embeddings.projection
    taken.patch_embedding.weight.copy_(projection.weight)
    taken.class_embedding.copy_(given.cls_token.flatten())
    taken.position_embedding.weight.copy_(given.position_embeddings[0])
    taken.position_embedding.weight[1:] += projection.bias
    vision.pre_layrnorm.weight.copy_(given.position_embeddings[0].std().expand_as(vision.pre_layrnorm.weight))
    for source, target in zip(classifier.vit.layers, vision.encoder.layers, strict=False):
        for name, theirs in PARTS.items():
            target.get_submodule(name).load_state_dict(source.get_submodule(theirs).state_dict())


def plan_of(steps: int, seed: int) -> Plan:
    """The settings that the shipped weights were trained with, for this many steps."""
    warmup = min(50, steps // 10)
    return Plan(steps=steps, seed=seed, learning_rate=1e-3, warmup=warmup, weight_decay=0.05)


SCRIPT = Script(name="shapes-clip", steps=1200, batch=BATCH, plan_of=plan_of, train=train)

if __name__ == "__main__":
    SCRIPT.main()
