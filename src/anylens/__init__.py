"""One lens for every PyTorch model, of every modality.

Attach to a model, watch it run once, and every named point inside it can be read, edited, and followed.
"""

from anylens.analysis.directions import difference_of_means
from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.points import Point
from anylens.attaching import attach
from anylens.core import __version__
from anylens.core.errors import AnylensError
from anylens.harvest.harvest import harvest
from anylens.lens import Lens
from anylens.loading import load
from anylens.running.actions import At
from anylens.running.capture import Cache
from anylens.running.interventions import (
    Intervention,
    ablate,
    add,
    patch_from,
    scale,
    set_to,
)
from anylens.running.step import Step, sigmas, timesteps
from anylens.running.steps import Steps
from anylens.sae.steering import clamp_feature, steer
from anylens.sae_loading import load_sae

__all__ = [
    "Anatomy",
    "AnylensError",
    "At",
    "Cache",
    "Intervention",
    "Lens",
    "Point",
    "Step",
    "Steps",
    "__version__",
    "ablate",
    "add",
    "attach",
    "clamp_feature",
    "difference_of_means",
    "harvest",
    "load",
    "load_sae",
    "patch_from",
    "scale",
    "set_to",
    "sigmas",
    "steer",
    "timesteps",
]
