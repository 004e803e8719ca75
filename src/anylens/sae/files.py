"""Autoencoders on disk, in SAELens's format: `cfg.json` and `sae_weights.safetensors`.

The input's scale is folded into the weights, so that a reader without it gets the same outputs. What SAELens has no
word for (the variant's own name and settings, the scale) stands in the metadata, and comes back when anylens reads the
files.
Source: https://github.com/decoderesearch/SAELens, version 6.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from anylens.core.errors import LoadError
from anylens.sae.base import Sae
from anylens.sae.batch_topk import BatchTopK
from anylens.sae.gated import Gated
from anylens.sae.jumprelu import JumpRelu
from anylens.sae.variants import VARIANTS, make
from anylens.store.storage import write_whole

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
# our variant -> SAELens's architecture for inference
ARCHITECTURES = {"batchtopk": "jumprelu", "matryoshka": "topk"}
# what a setting is where SAELens's files, made for inference, do not say
UNSAID = {"standard": {"l1": 0.0}, "gated": {"l1": 0.0}, "jumprelu": {"l0": 0.0}}


def save(sae: Sae, folder: Path | str, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write an autoencoder to a folder, each file whole or not at all; `metadata` is kept with it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own = {"variant": sae.variant, "settings": sae.settings(), "scale": float(sae.scale)}
    config = {
        "architecture": ARCHITECTURES.get(sae.variant, sae.variant),
        "d_in": sae.d_in,
        "d_sae": sae.d_sae,
        "dtype": str(sae.encoder.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {**(metadata or {}), "anylens": own},
    }
    if config["architecture"] == "topk":
        config |= {"k": sae.settings()["k"], "rescale_acts_by_decoder_norm": False}
    write_whole(folder / WEIGHTS, tensors_to_bytes(_folded(sae)))
    write_whole(folder / CONFIG, json.dumps(config, indent=1).encode())
    return folder


def _folded(sae: Sae) -> dict[str, Tensor]:
    """Return the weights under SAELens's names, the scale folded in."""
    scale = sae.scale.to(sae.encoder.dtype)
    weights = {
        "W_enc": sae.encoder.T * scale,
        "W_dec": sae.decoder / scale,
        "b_dec": sae.b_dec / scale,
    }
    if isinstance(sae, Gated):
        weights |= {"b_gate": sae.b_enc, "r_mag": sae.r_mag, "b_mag": sae.b_mag}
    else:
        weights["b_enc"] = sae.b_enc
    if isinstance(sae, JumpRelu):
        weights["threshold"] = sae.threshold
    if isinstance(sae, BatchTopK):
        weights["threshold"] = sae.threshold.to(sae.encoder.dtype).expand(sae.d_sae)
    return {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}


def load(folder: Path | str) -> Sae:
    """Read an autoencoder, of ours or of SAELens.

    Raises LoadError naming the file that is missing or damaged, or what in it is not known here.
    """
    folder = Path(folder)
    config = _config(folder / CONFIG)
    own = (config.get("metadata") or {}).get("anylens") or {}
    architecture = config.get("architecture", "standard")
    variant, settings = own.get("variant", architecture), own.get("settings")
    _expect_known(folder, config, variant)
    if settings is None:
        settings = {"k": config["k"]} if variant == "topk" else UNSAID.get(variant, {})
    sae = make(variant, int(config["d_in"]), int(config["d_sae"]), **settings).eval()
    _fill(sae, _weights(folder / WEIGHTS), float(own.get("scale", 1.0)), folder)
    return sae


def _expect_known(folder: Path, config: Mapping[str, Any], variant: str) -> None:
    if variant not in VARIANTS:
        raise LoadError(
            f"{folder} holds an autoencoder of kind {variant!r}. Known are {', '.join(VARIANTS)}."
        )
    plain = {
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
    }
    for name, wanted in plain.items():
        found = config.get(name, wanted)
        if found not in (wanted, None):
            raise LoadError(
                f"{folder / CONFIG} has {name}={found!r}, which is not read. Fold it into the weights first."
            )


def _config(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LoadError(
            f"{file.parent} holds no autoencoder: {file.name} cannot be read ({error})."
        ) from error
    except ValueError as error:
        raise LoadError(f"{file} is damaged: {error}.") from error
    if not isinstance(found, dict) or not {"d_in", "d_sae"} <= found.keys():
        raise LoadError(f"{file} is no configuration of an autoencoder: it lacks d_in or d_sae.")
    return found


def _weights(file: Path) -> dict[str, Tensor]:
    try:
        return {name: weight.float() for name, weight in read_tensors(file.read_bytes()).items()}
    except (OSError, SafetensorError) as error:
        raise LoadError(f"{file} cannot be read: {error}.") from error


@torch.no_grad()
def _fill(sae: Sae, weights: Mapping[str, Tensor], scale: float, folder: Path) -> None:
    """Put weights in their places, the scale taken out of them."""
    b_enc = "b_gate" if isinstance(sae, Gated) else "b_enc"
    wanted = {"W_enc", "W_dec", "b_dec", b_enc}
    extra = {"b_mag", "r_mag"} if isinstance(sae, Gated) else set()
    extra |= {"threshold"} if isinstance(sae, (JumpRelu, BatchTopK)) else set()
    missing = sorted((wanted | extra) - weights.keys())
    if missing:
        raise LoadError(f"{folder / WEIGHTS} lacks {', '.join(missing)}, which {sae.variant} has.")
    places = {
        "W_enc": (sae.encoder, weights["W_enc"].T / scale),
        "W_dec": (sae.decoder, weights["W_dec"] * scale),
        "b_dec": (sae.b_dec, weights["b_dec"] * scale),
        b_enc: (sae.b_enc, weights[b_enc]),
        **{name: (getattr(sae, name), weights[name]) for name in extra},
    }
    if isinstance(sae, BatchTopK):
        places["threshold"] = (sae.threshold, weights["threshold"].max())
    for name, (place, value) in places.items():
        if place.shape != value.shape:
            raise LoadError(
                f"{folder / WEIGHTS}: {name} has shape {list(value.shape)}, and needs {list(place.shape)}."
            )
        place.copy_(value)
    sae.scale.fill_(scale)
