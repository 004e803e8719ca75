"""One lens for every PyTorch model, of every modality.

Attach to a model, watch it run once, and every named point inside it can be read, edited, and followed.
"""

from anylens.core import __version__

__all__ = ["__version__"]
