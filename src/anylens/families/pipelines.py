"""Pipelines of diffusers: a denoiser called step by step, and what stands before and behind it."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

from anylens.families.family import Family, Matches

# what a call needs -> what it gets while the pipeline is watched; the rest keeps its default
GIVEN: Mapping[str, Any] = {
    "prompt": "a red circle",
    "class_labels": [0, 1],
    "batch_size": 2,
    "num_inference_steps": 4,
    "output_type": "np",
}
# pipelines whose batch holds other than an unconditional and a conditional half
OTHER_GUIDANCE = ("Pix2Pix", "PAG", "SAG")


def is_of_diffusers(pipeline: Any) -> bool:
    """Whether it is one of diffusers' own pipelines."""
    return type(pipeline).__module__.startswith("diffusers.") and type(pipeline).__name__.endswith("Pipeline")


def example(pipeline: Any) -> dict[str, Any]:
    """Build what a pipeline's call needs, for a few steps of denoising.

    Raises ValueError if the call needs something that cannot be made up, such as a picture.
    """
    takes = signature(type(pipeline).__call__).parameters
    needed = [name for name, one in takes.items() if one.default is Parameter.empty and one.kind in _PLAIN]
    unknown = [name for name in needed if name not in GIVEN and name != "self"]
    if unknown:
        raise ValueError(f"its call needs {', '.join(unknown)}")
    return {name: value for name, value in GIVEN.items() if name in takes}


_PLAIN = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def conditional(pipeline: Any, given: Mapping[str | int, Any]) -> Sequence[bool] | None:
    """Say which rows follow the prompt.

    The pipelines put the unconditional half first. Where classes are given, the null class says which rows are
    unconditional, wherever they stand.
    """
    rows = _rows(given)
    labels = given.get("class_labels")
    null = _null_class(pipeline)
    if labels is not None and null is not None:
        return [int(label) != null for label in labels]
    guided = getattr(pipeline, "do_classifier_free_guidance", False)
    if not guided or rows % 2 or any(name in type(pipeline).__name__ for name in OTHER_GUIDANCE):
        return None
    return [False] * (rows // 2) + [True] * (rows // 2)


def _rows(given: Mapping[str | int, Any]) -> int:
    sample = next((given[name] for name in ("sample", "hidden_states") if given.get(name) is not None), None)
    return len(sample) if sample is not None else 0


def _null_class(pipeline: Any) -> int | None:
    """Return the class that stands for no class, where the denoiser has one."""
    config = getattr(getattr(pipeline, "transformer", None), "config", {})
    return config.get("num_embeds_ada_norm") if isinstance(config, Mapping) else None


family = Family(
    name="diffusion pipeline",
    matches=Matches(when=is_of_diffusers),
    example=example,
    conditional=conditional,
)
