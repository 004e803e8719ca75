"""The zoo's models by name, and what each must reach on samples that it was not trained on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anylens.core.errors import ZooError

WEIGHTS_FOLDER = Path(__file__).parent / "weights"

Kind = Literal["transformers", "diffusers", "pipeline", "plain"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound on one of the numbers that a model's `measure` returns.

    score: its name, with a dot into a dictionary within. unit: "%" for a fraction that is shown as a percentage, else
    what is written behind the number.
    """

    score: str
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ZooError(f"the target for {self.score} must have one bound: at_least or at_most")

    def value(self, scores: Mapping[str, object]) -> float:
        """The score out of what was measured; raises ZooError where it is not there."""
        found: object = scores
        for part in self.score.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, int | float):
            raise ZooError(f"nothing called {self.score} was measured; there is {', '.join(scores)}")
        return float(found)

    def reached(self, scores: Mapping[str, object], *, slack: float = 0.0) -> bool:
        """Whether the score is within its bound, or beyond it by no more than `slack`."""
        value = self.value(scores)
        if self.at_least is not None:
            return value >= self.at_least - slack
        return self.at_most is not None and value <= self.at_most + slack

    @property
    def wanted(self) -> str:
        """The bound in words, such as "at least 98 %"."""
        if self.at_least is not None:
            return f"at least {self._shown(self.at_least)}"
        return f"at most {self._shown(self.at_most or 0.0)}"

    def told(self, scores: Mapping[str, object]) -> str:
        """The score's name and value in words, such as "accuracy 99.90%"."""
        name = self.score.replace("_", " ").replace(".", " ")
        return f"{name} {self.shown(scores)}"

    def shown(self, scores: Mapping[str, object]) -> str:
        """The score's value with its unit."""
        value = self.value(scores)
        return f"{value:.2%}" if self.unit == "%" else self._shown(value)

    def _shown(self, value: float) -> str:
        if self.unit == "%":
            return f"{value * 100:g}%"
        return f"{value:.4g} {self.unit}".rstrip()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the zoo.

    world: the module of `anylens.zoo.worlds` that it was trained on. model_class, processor_class: where to import
    them from, as "module:name"; processor_class is None for a model that takes tensors as they are, and for a pipeline,
    which brings its own. processor_files: what a folder must hold for the processor. shares: parts of a pipeline that
    are other models of the zoo and are stored there only. learns_from: other models that its training or its measure
    takes. measure: the module of `anylens.zoo.measure` that scores it,
    on `samples` for its card and on `light` in the tests. shortfall: why a target is not reached, where one is not.
    """

    name: str
    summary: str
    world: str
    model_class: str
    processor_class: str | None = None
    processor_files: tuple[str, ...] = ("preprocessor_config.json",)
    shares: Mapping[str, str] = field(default_factory=dict)
    learns_from: tuple[str, ...] = ()
    measure: str
    targets: tuple[Target, ...]
    samples: int = 4096
    light: int = 256
    shortfall: str = ""

    @property
    def folder(self) -> Path:
        """Where the package keeps the model's files."""
        return WEIGHTS_FOLDER / self.name

    @property
    def kind(self) -> Kind:
        """How it is stored: as its library stores it, as a pipeline in several folders, or with a plain config."""
        library, _, name = self.model_class.partition(":")
        if name.endswith("Pipeline"):
            return "pipeline"
        if library.startswith("anylens."):
            return "plain"
        return "diffusers" if library.startswith("diffusers") else "transformers"

    @property
    def needs(self) -> frozenset[str]:
        """The models that must be there before this one is trained."""
        return frozenset((*self.shares.values(), *self.learns_from))

    @property
    def script(self) -> str:
        """The module that trains it."""
        return f"anylens.zoo.train.{self.name.replace('-', '_')}"


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")

LANGUAGE_TARGETS = (
    Target(score="excess", at_most=0.05, unit="nats"),
    Target(score="agreement", at_least=0.99, unit="%"),
)
"""Of models of the grammar: how far the loss is above what the grammar leaves open, and how often verbs agree."""

ENTRIES = (
    Entry(
        name="shapes-vit",
        summary="vision transformer that names the colour and shape of the object in a 32 x 32 picture",
        world="shapes",
        model_class="transformers:ViTForImageClassification",
        processor_class="transformers.models.vit.image_processing_pil_vit:ViTImageProcessorPil",
        measure="shapes_labels",
        targets=(Target(score="accuracy", at_least=0.98, unit="%"),),
        light=1024,
    ),
    Entry(
        name="shapes-resnet",
        summary="residual network that names the colour and shape of the object in a 32 x 32 picture",
        world="shapes",
        model_class="transformers:ResNetForImageClassification",
        processor_class="transformers.models.vit.image_processing_pil_vit:ViTImageProcessorPil",
        measure="shapes_labels",
        targets=(Target(score="accuracy", at_least=0.98, unit="%"),),
        light=1024,
    ),
    Entry(
        name="shapes-vae",
        summary="variational autoencoder of 32 x 32 pictures, with 4 x 8 x 8 latents",
        world="shapes",
        model_class="diffusers:AutoencoderKL",
        learns_from=("shapes-resnet",),
        measure="shapes_vae",
        targets=(Target(score="psnr", at_least=25, unit="dB"), Target(score="kl", at_most=400, unit="nats")),
        samples=1024,
        light=64,
    ),
    Entry(
        name="shapes-dit",
        summary="diffusion transformer that draws a 32 x 32 picture of a colour and shape",
        world="shapes",
        model_class="diffusers:DiTPipeline",
        shares={"vae": "shapes-vae"},
        learns_from=("shapes-vit",),
        measure="shapes_dit",
        targets=(Target(score="obeyed", at_least=0.8, unit="%"),),
        samples=1024,
        light=64,
    ),
    Entry(
        name="melodies-musicgen",
        summary="MusicGen that plays two seconds of a scale as a caption says: instrument, scale, tempo and direction",
        world="melodies",
        model_class="transformers:MusicgenForConditionalGeneration",
        processor_class="transformers:MusicgenProcessor",
        processor_files=("processor_config.json", *TOKENIZER_FILES),
        measure="melodies_prompts",
        targets=(Target(score="followed", at_least=0.8, unit="%"),),
        samples=96,
        light=64,
    ),
    Entry(
        name="shapes-clip",
        summary="contrastive encoders of 32 x 32 pictures and of their captions",
        world="shapes",
        model_class="transformers:CLIPModel",
        processor_class="transformers:CLIPProcessor",
        processor_files=("processor_config.json", "tokenizer.json", "tokenizer_config.json"),
        learns_from=("shapes-vit",),
        measure="shapes_clip",
        targets=(Target(score="caption_first", at_least=0.9, unit="%"),),
        light=256,
    ),
    Entry(
        name="shapes-diffusion",
        summary="latent diffusion that draws a 32 x 32 picture of a caption",
        world="shapes",
        model_class="diffusers:StableDiffusionPipeline",
        shares={"vae": "shapes-vae"},
        learns_from=("shapes-clip", "shapes-vit"),
        measure="shapes_diffusion",
        targets=(Target(score="obeyed", at_least=0.85, unit="%"),),
        samples=1024,
        light=64,
    ),
    Entry(
        name="shapes-gan",
        summary="generator and discriminator of 32 x 32 pictures",
        world="shapes",
        model_class="anylens.zoo.nets.gan:GAN",
        learns_from=("shapes-vit",),
        measure="shapes_gan",
        targets=(
            Target(score="recognised", at_least=0.8, unit="%"),
            Target(score="absent", at_most=0),
            Target(score="obeyed", at_least=0.7, unit="%"),
        ),
        light=500,
    ),
    Entry(
        name="shapes-flow",
        summary="flow of affine couplings on pictures at half their size, 16 x 16",
        world="shapes",
        model_class="anylens.zoo.nets.flow:RealNVP",
        measure="shapes_flow",
        targets=(
            Target(score="ratio", at_most=0.9, unit="of a Gaussian's bits per dimension"),
            Target(score="inverse_error", at_most=1e-4),
        ),
        samples=2048,
        light=128,
    ),
    Entry(
        name="vowels-whisper",
        summary="Whisper that writes down the vowels and pauses in two seconds of sound",
        world="vowels",
        model_class="transformers:WhisperForConditionalGeneration",
        processor_class="transformers:WhisperProcessor",
        processor_files=("processor_config.json", *TOKENIZER_FILES),
        measure="vowels_transcripts",
        targets=(Target(score="error_rate", at_most=0.05, unit="%"),),
        samples=1024,
        light=64,
    ),
    Entry(
        name="grammar-gpt2",
        summary="transformer that goes on with sentences of a small grammar",
        world="grammar",
        model_class="transformers:GPT2LMHeadModel",
        processor_class="transformers:PreTrainedTokenizerFast",
        processor_files=TOKENIZER_FILES,
        measure="grammar_words",
        targets=LANGUAGE_TARGETS,
    ),
    Entry(
        name="grammar-mamba",
        summary="selective state space model that goes on with sentences of a small grammar",
        world="grammar",
        model_class="transformers:MambaForCausalLM",
        processor_class="transformers:PreTrainedTokenizerFast",
        processor_files=TOKENIZER_FILES,
        measure="grammar_words",
        targets=LANGUAGE_TARGETS,
    ),
    Entry(
        name="grammar-mamba2",
        summary="state space model with heads that goes on with sentences of a small grammar",
        world="grammar",
        model_class="transformers:Mamba2ForCausalLM",
        processor_class="transformers:PreTrainedTokenizerFast",
        processor_files=TOKENIZER_FILES,
        measure="grammar_words",
        targets=LANGUAGE_TARGETS,
    ),
)
"""In the order of their training: none before what it needs, and soon what takes long."""


def names() -> tuple[str, ...]:
    """The names of all models, in the catalogue's order."""
    return tuple(known.name for known in ENTRIES)


def entry(name: str) -> Entry:
    """The entry of this name; raises ZooError with the nearest names where there is none."""
    for known in ENTRIES:
        if known.name == name:
            return known
    near = difflib.get_close_matches(name, names())
    hint = f"did you mean {', '.join(near)}?" if near else f"the zoo has {', '.join(names())}"
    raise ZooError(f"the zoo has no model called {name!r}; {hint}")
