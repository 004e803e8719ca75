"""What each autoencoder of the zoo is made of, and how it is judged: one frozen value each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One autoencoder of a model's point.

    Attributes:
        model, point: whose rows.
        task: which of `tools.saes.tasks` feeds the model, labels rows and judges outputs.
        positions: which positions become rows, as for `anylens.harvest`.
        variant, width, settings: of the autoencoder, as for `anylens.sae.make`.
        samples: of the world that rows are harvested from.
        batch, steps, lr, seed: of the training.
        pooled: whether a sample is scored by the largest activation over its positions, and not position by position:
            for factors of the whole sample, which no single position need show.
        factors: those that features are sought for. Others of the world are not in these rows.
        steered: those that outputs are steered in.
        at: the positions that are steered, by axis.
        held_out: samples that it is measured on.
        trials: samples that are steered, to choose features on and to count on.
        strengths: tried, in multiples of a feature's own large activations (their 95th percentile).
        note: what fell short, and what was tried.
    """

    model: str
    point: str
    task: str
    positions: Any = "all"
    variant: str = "matryoshka"
    width: int
    settings: Mapping[str, Any]
    samples: int
    batch: int = 1024
    steps: int = 1500
    lr: float = 5e-3
    seed: int = 0
    pooled: bool = True
    factors: tuple[str, ...]
    steered: tuple[str, ...]
    at: Mapping[str, Any] = field(default_factory=dict)
    held_out: int = 768
    trials: tuple[int, int] = (32, 96)
    strengths: tuple[float, ...] = (1, 1.5, 2, 3, 6)
    note: str = ""

    @property
    def name(self) -> str:
        """As `load_sae` takes it, without `zoo:`."""
        return f"{self.model}/{self.point}"


FIRST = {"positions": "first", "at": {"pos": 0}}  # the class token

RECIPES = (
    Recipe(
        model="shapes-vit",
        point="blocks.5.hook_resid_post",
        task="classes",
        **FIRST,
        width=64,
        settings={"k": 6, "widths": [14, 64]},
        samples=6_000,
        batch=512,
        steps=2000,
        seed=2,
        factors=("colour", "shape", "label"),
        steered=("colour", "shape"),
    ),
    Recipe(
        model="shapes-resnet",
        point="stages.2.blocks.1.hook_resid_post",
        task="classes",
        width=256,
        settings={"k": 12, "widths": [16, 64, 256]},
        samples=12_000,
        factors=("colour", "shape"),
        steered=("colour", "shape"),
    ),
    Recipe(
        model="shapes-clip",
        point="vision.blocks.3.hook_resid_post",
        task="captions",
        **FIRST,
        width=64,
        settings={"k": 6, "widths": [21, 64]},
        samples=6_000,
        batch=512,
        steps=2000,
        seed=1,
        factors=("colour", "shape", "size", "background"),
        steered=("colour", "shape", "size", "background"),
    ),
    Recipe(
        model="shapes-vae",
        point="decoder.mid_block.hook_out",
        task="reconstructions",
        width=256,
        settings={"k": 12, "widths": [32, 256]},
        samples=2_000,
        pooled=False,
        factors=("colour", "background"),
        steered=("colour",),
    ),
    Recipe(
        model="shapes-gan",
        point="generator.stages.1.hook_post",
        task="inventions",
        width=256,
        settings={"k": 16, "widths": [32, 256]},
        samples=4_000,
        factors=("colour", "shape"),
        steered=("colour", "shape"),
    ),
    Recipe(
        model="shapes-diffusion",
        point="unet.mid_block.hook_out",
        task="prompts",
        width=256,
        settings={"k": 12, "widths": [32, 256]},
        samples=600,
        factors=("colour", "shape"),
        steered=("colour", "shape"),
    ),
    Recipe(
        model="vowels-whisper",
        point="encoder.blocks.2.hook_resid_post",
        task="transcripts",
        width=32,
        settings={"k": 4, "widths": [10, 32]},
        samples=400,
        batch=512,
        steps=800,
        pooled=False,
        factors=("vowel",),
        held_out=256,
        steered=("vowel",),
        at={"pos": slice(6, 14)},  # 0.12 to 0.28 s, within the only vowel of each sound
    ),
    Recipe(
        model="grammar-gpt2",
        point="blocks.1.hook_resid_post",
        task="words",
        positions="attended",
        width=256,
        settings={"k": 10, "widths": [32, 256]},
        samples=10_000,
        pooled=False,
        factors=("role", "number", "tense", "topic"),
        steered=("number", "tense", "topic"),
        at={"pos": -1},
    ),
    Recipe(
        model="grammar-mamba",
        point="blocks.0.hook_resid_post",
        task="words",
        positions="attended",
        width=256,
        settings={"k": 10, "widths": [32, 256]},
        samples=10_000,
        pooled=False,
        factors=("role", "number", "tense", "topic"),
        steered=("number", "tense", "topic"),
        at={"pos": -1},
    ),
)


def recipes(names: tuple[str, ...] = ()) -> tuple[Recipe, ...]:
    """Return the recipes of these names, whole or of the model alone; all of them if none is given."""
    unknown = [name for name in names if not any(name in (one.name, one.model) for one in RECIPES)]
    if unknown:
        raise SystemExit(
            f"No recipe is called {unknown[0]}. There are {', '.join(one.name for one in RECIPES)}."
        )
    return tuple(one for one in RECIPES if not names or one.name in names or one.model in names)
