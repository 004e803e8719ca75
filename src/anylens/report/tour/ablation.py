"""What each attention head is for: its values are replaced by their mean, and the model is asked again."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anylens.lens import Lens
from anylens.report.tour.material import Material
from anylens.running.interventions import ablate

VALUES = "blocks.*.attn.hook_z"
WORDS = ("colour", "shape")


@dataclass(frozen=True)
class Ablation:
    """What the loss of each head does to the test pictures, for the colour and for the shape.

    accuracy: share of pictures with the right word, as the model is. surprise: mean of -log of the right word's
    probability, in nats, as the model is. accuracy_without, surprise_without: the same without the head.
    """

    accuracy: Float[Tensor, "word"]
    surprise: Float[Tensor, "word"]
    accuracy_without: Float[Tensor, "layer head word"]
    surprise_without: Float[Tensor, "layer head word"]

    @property
    def cost(self) -> Float[Tensor, "layer head word"]:
        """How much more surprised the model is by the truth without each head, in nats."""
        return self.surprise_without - self.surprise

    def most(self, word: int) -> tuple[int, int]:
        """Return the layer and head whose loss costs a word most."""
        return divmod(int(self.cost[..., word].argmax()), self.cost.shape[1])


@torch.no_grad()
def without_heads(lens: Lens, material: Material, tick: Callable[[int, int], None]) -> Ablation:
    """Ablate each head in turn; `tick` is told how many are done, of how many."""
    _, cache = lens.run_with_cache(pixel_values=material.reference.inputs, points=VALUES)
    means = {name: value.mean(0) for name, value in cache.items()}
    heads = [(name, head) for name, mean in means.items() for head in range(mean.shape[-2])]
    found = []
    for done, (name, head) in enumerate(heads):
        hooks = {name: ablate(means[name][:, [head]]).on(head=head)}
        logits = lens.run_with_hooks(pixel_values=material.test.inputs, hooks=hooks).logits
        found.append(_scores(logits, material))
        tick(done + 1, len(heads))
    whole = _scores(lens.model(pixel_values=material.test.inputs).logits, material)
    scores = torch.stack(found).unflatten(0, (len(means), -1))
    return Ablation(whole[0], whole[1], scores[:, :, 0], scores[:, :, 1])


def _scores(logits: Float[Tensor, "picture label"], material: Material) -> Float[Tensor, "score word"]:
    """Return accuracy and surprise for each word."""
    answers, labels = material.test.answers, material.labels
    kinds = (labels.colour, labels.shape)
    named = logits.argmax(-1)
    accuracy = [(kind[named] == kind[answers]).float().mean() for kind in kinds]
    surprise = [-_log_probability(logits, kind, kind[answers]).mean() for kind in kinds]
    return torch.stack([torch.stack(accuracy), torch.stack(surprise)])


def _log_probability(logits: Tensor, kind: Tensor, right: Tensor) -> Float[Tensor, "picture"]:
    """Return the log of the probability of all labels together that have the right word."""
    other = kind[None] != right[:, None]
    return logits.log_softmax(-1).masked_fill(other, -torch.inf).logsumexp(-1)
