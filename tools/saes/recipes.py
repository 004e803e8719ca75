"""What each autoencoder of the zoo is made of, and how it is judged: one frozen value each."""

from anylens.tasks.recipe import Recipe

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
