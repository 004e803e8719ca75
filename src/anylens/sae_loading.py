"""Loads a sparse autoencoder by name: one of the zoo, a folder, or a hub id."""

import re
from pathlib import Path

from anylens.core.errors import LoadError
from anylens.core.optional import require
from anylens.sae.base import Sae
from anylens.sae.files import CONFIG, WEIGHTS, load

HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?:/([\w./-]+))?")


def load_sae(name: str | Path, *, revision: str | None = None) -> Sae:
    """Load a sparse autoencoder by name, in float32 and eval mode.

    Args:
        name: `zoo:MODEL/POINT` for one that ships with anylens (`anylens zoo` lists them), such as
            `zoo:shapes-vit/blocks.3.hook_resid_post`; a folder as `anylens.sae.save` or SAELens writes it; or
            `OWNER/NAME` or `OWNER/NAME/FOLDER` for such a folder on the hub.
        revision: which version, for one of the hub.

    Raises:
        LoadError: there is none of that name, it cannot be reached, or what is there cannot be read.
        MissingExtraError: huggingface_hub is not installed, and the name is one of the hub.
        ZooError: the zoo has none of that name; the message has the nearest.
    """
    if not isinstance(name, (str, Path)):
        raise LoadError(f"load_sae takes a name or a path, and was given {type(name).__name__}.")
    if str(name).startswith("zoo:"):
        from anylens.zoo.saes import sae_folder

        return load(sae_folder(str(name).removeprefix("zoo:")))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return load(folder)
    found = HUB_NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise LoadError(
            f"There is no folder {folder}, and the name is neither zoo:MODEL/POINT nor a hub id such as 'owner/name'."
        )
    return load(_fetched(found[1], found[2], revision))


def _fetched(repository: str, folder: str | None, revision: str | None) -> Path:
    """Bring an autoencoder's two files from the hub; returns their folder."""
    hub = require("huggingface_hub", extra="transformers")
    try:
        paths = [
            hub.hf_hub_download(repository, file, subfolder=folder, revision=revision)
            for file in (CONFIG, WEIGHTS)
        ]
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        place = f"{repository}/{folder}" if folder else repository
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LoadError(
            f"No autoencoder could be had from {place}: there is no such folder here, and the hub says: {reason}"
        ) from error
    return Path(paths[0]).parent
