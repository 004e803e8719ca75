"""What each autoencoder of the zoo is made of, and how it is judged: one frozen value each."""

from anylens.tasks.recipe import Recipe

FIRST = {"positions": "first", "at": {"pos": 0}}  # the class token
FINE = (0.25, 0.5, 0.75, 1, 1.5, 2, 3)  # strengths, for points where little is enough

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
        strengths=FINE,
    ),
    Recipe(
        model="shapes-resnet",
        point="stages.3.blocks.0.hook_resid_post",
        task="classes",
        width=64,
        settings={"k": 6, "widths": [14, 64]},
        samples=6_000,
        batch=512,
        steps=1500,
        seed=2,
        factors=("colour", "shape", "label"),
        steered=("colour", "shape"),
        held_out=2_048,
        strengths=FINE,
        note=(
            "Behind the last stage, one cell wide, a linear probe finds every value with 1.00; sizes and backgrounds "
            "are left out: where maps are wider it finds them with 0.82 at most. Labels, of which each has a feature "
            "nearly for itself, are found, and colours and shapes as a whole seldom. Chosen on other samples among "
            "ten of three sizes and three seeds (81% to 85% of values in both of two halvings, steering 71% to 88%). "
            "Behind the third stage, on colours and shapes alone: 7% to 57% of values."
        ),
    ),
    Recipe(
        model="shapes-clip",
        point="vision.blocks.3.hook_resid_post",
        task="captions",
        **FIRST,
        variant="gated",
        width=24,
        settings={"l1": 1.0},
        samples=12_000,
        batch=512,
        steps=2000,
        seed=4,
        factors=("colour", "shape", "size", "background"),
        steered=("colour", "shape", "size", "background"),
        strengths=FINE,
        note=(
            "A linear probe finds all values with 0.99 and more but medium, 0.81, gradient and stripes, 0.87, which "
            "no feature finds and few pushes show. Chosen on other samples among 77, at five points: Gated of 22 to "
            "48 latents found 14% to 86% of values in both of two halvings, those of 24 most; JumpReLU 33% to 76%, "
            "Matryoshka 38% to 76%, TopK and BatchTopK 43% to 67%, Standard 5%."
        ),
    ),
    Recipe(
        model="shapes-vae",
        point="decoder.up_blocks.1.hook_out",
        task="reconstructions",
        variant="topk",
        width=128,
        settings={"k": 4},
        samples=512,
        steps=600,
        seed=3,
        factors=("colour", "background"),
        steered=("colour",),
        held_out=384,
        trials=(64, 128),
        strengths=(0.5, 1, 2, 4, 8),
        note=(
            "A cell of this map is a pixel, and those of the object are pushed: pushed everywhere, the background "
            "takes the colour too, and the judge no longer sees the shape. Shapes, of which no pixel holds more than "
            "a part, and sizes are left out. Chosen on other samples: TopK of 64 to 128 latents, 3 to 6 active, up to "
            "five seeds of each (64% to 91% of values), BatchTopK (55% to 73%), Gated of 16 to 32 (36% to 73%), "
            "Matryoshka (64% to 73%); of 16 x 16 cells and of 8 x 8 before, 45% to 73% and 27% to 55%."
        ),
    ),
    Recipe(
        model="shapes-gan",
        point="generator.stages.2.hook_post",
        task="inventions",
        variant="topk",
        width=96,
        settings={"k": 5},
        samples=1_200,
        steps=600,
        seed=1,
        factors=("colour",),
        steered=("colour",),
        strengths=(0.5, 0.75, 1, 1.5, 2, 3, 5),
        note=(
            "What is drawn is known only by the judge's word, which the model is sure of in 81% of its pictures. "
            "Shapes, of which no cell of 16 x 16 holds more than a part, are left out. Chosen on other samples among "
            "thirteen: TopK of 32 to 96 latents, 4 to 6 active, two seeds of each (25% to 100% of values, steering 51% "
            "to 85%), Gated of 24 (0%, 54% to 56%), and Matryoshka of 12 and 48 (50%, 37%). With 128 latents, 6 "
            "active, 88% of values, but colours lie in several latents each, so that one turns few pictures: 60%."
        ),
    ),
    Recipe(
        model="shapes-diffusion",
        point="unet.up_blocks.0.attentions.1.transformer_blocks.0.attn2.hook_out",
        task="prompts",
        width=64,
        settings={"k": 6, "widths": [24, 64]},
        samples=384,
        steps=800,
        factors=("colour", "shape", "size"),
        steered=("colour", "shape"),
        held_out=192,
        trials=(32, 48),
        strengths=(0.75, 1, 1.5, 2, 3),
        note=(
            "What the last attention to the caption writes, pushed in the rows that follow the caption: guidance "
            "leads away from the others, and a push in both moves pictures less (57%, squares 6%). Of eight points of "
            "the U-Net tried, the first at which steering turns pictures. In the middle block it does not: with zeros "
            "for what that block gives, 14 of 16 pictures keep their colour and all their shape, pushes of ten times "
            "the difference between captions with and without a value change none, and single features find 10% to "
            "33% of the values. Backgrounds and places are left out: a linear probe finds none over 0.95. Gated of 20 "
            "to 32 latents, four seeds, found 56% to 82% of values in both of two halvings on other samples; the one "
            "of 28 steered 60% here, 8% by the control. The 57% and the 60% are from before pictures without an "
            "object were judged as nothing."
        ),
    ),
    Recipe(
        model="vowels-whisper",
        point="encoder.blocks.2.hook_resid_post",
        task="transcripts",
        width=32,
        settings={"k": 5, "widths": [3, 8, 32]},
        samples=400,
        batch=512,
        steps=800,
        seed=2,
        pooled=False,
        factors=("vowel", "sound"),
        held_out=256,
        steered=("vowel",),
        at={"pos": slice(3, 13)},  # the only vowel of each sound
        strengths=FINE,
        note=(
            "Pauses before, between and behind vowels have features of their own, so one feature finds vowels as a "
            "whole and none all pauses; a linear probe tells the two apart with 1.00. Pitch, loudness and speaker are "
            "left out: the probe finds none of them over 0.8. Chosen on other samples among 25 of three widths: first "
            "parts of 2 or 3 latents, then of 8 or 9, five seeds of each (14% to 86% of values in both of two "
            "halvings). What the convolutions give, before any layer has heard what lies around a frame, shows all "
            "seven values in 24 latents of TopK (100%, steering 92%)."
        ),
    ),
    Recipe(
        model="melodies-musicgen",
        point="decoder.blocks.1.hook_cross_attn_out",
        task="melodies",
        width=32,
        settings={"k": 4, "widths": [12, 32]},
        samples=512,
        steps=500,
        seed=1,
        factors=("instrument", "scale", "tempo", "direction"),
        steered=("instrument",),
        held_out=512,
        trials=(24, 64),
        strengths=(2, 4, 8, 12),
        note=(
            "What the second layer's attention to the caption writes. A linear probe finds every value here with "
            "1.00. The other layers go on reading the caption, so instruments are turned only by strengths that leave "
            "few notes in tune. Scales were tried on fewer melodies: the best features changed 10% to major and 18% "
            "to minor, and in the first layer 10% and 36%, where those of instruments turned harps alone. In the "
            "stream behind the third layer, tried with an earlier model, the probe found instruments and notes with "
            "0.96 and more, but single features of 48 to 96 latents, 4 to 10 active, 8% to 21% of them, at an FVU of "
            "0.36 to 0.49. Gated of 24 where this one is found 70% to 80% of values on other samples and steered 48%."
        ),
    ),
    Recipe(
        model="grammar-gpt2",
        point="blocks.1.hook_resid_post",
        task="words",
        positions="attended",
        variant="topk",
        width=32,
        settings={"k": 10},
        samples=3_000,
        steps=500,
        pooled=False,
        factors=("role", "number", "tense", "topic", "gender"),
        steered=("number", "tense", "topic"),
        at={"pos": -1},
        note=(
            "A linear probe finds every value with 0.99 and more; single features miss the roles of few words that "
            "lead to different continuations (who and that, adverbs, pronouns), which have a feature for each word, "
            "and the number of the verb that comes. Tried: blocks 1 and 2, 24 to 64 latents, 3 to 16 active, TopK, "
            "BatchTopK, Matryoshka and other seeds, which found 39% to 70% of values on samples that are not those "
            "measured here. Gated of 24 to 40 latents found 48% to 74% of values there (in both of two halvings), "
            "behind block 0 22% to 43%, in what the second MLP writes 48% to 57%, and behind the last norm 43% to "
            "57%; trained longer, Gated of 28 to 48 35% to 65%, Matryoshka of 16 and 48 48%."
        ),
    ),
    Recipe(
        model="grammar-mamba",
        point="blocks.1.hook_resid_post",
        task="words",
        positions="attended",
        variant="topk",
        width=48,
        settings={"k": 6},
        samples=3_000,
        steps=500,
        pooled=False,
        factors=("role", "number", "tense", "topic", "gender"),
        steered=("number", "tense", "topic"),
        at={"pos": -1},
        note=(
            "A linear probe finds every value with 0.97 and more; single features find roles by word, not as a whole. "
            "Tried: blocks 0 and 1, 24 to 48 latents, 3 to 8 active, TopK, BatchTopK, Matryoshka: 22% to 48% of "
            "values, on samples that are not those measured here; Gated of 24 to 40 latents there, in what the second "
            "mixer writes and behind the last norm: 22% to 39%; TopK of 24 and 32 latents, 10 and 14 active: 26% to "
            "52%."
        ),
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
