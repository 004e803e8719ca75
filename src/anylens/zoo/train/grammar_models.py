"""What the language models of the grammar have in common: tokenizer, loss, training and script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anylens.zoo.train.loop import Plan, batch_seed, fit
from anylens.zoo.train.script import Script, Trained
from anylens.zoo.worlds.grammar import LONGEST, GrammarBatch, sample
from anylens.zoo.worlds.lexicon import BEGIN, END, PAD, UNKNOWN, VOCABULARY

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BATCH = 64

TOKEN_NUMBERS: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "bos_token_id": VOCABULARY.index(BEGIN),
    "eos_token_id": VOCABULARY.index(END),
    "pad_token_id": VOCABULARY.index(PAD),
}
"""What each model's configuration says of the tokens; a sentence ends with its full stop."""


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word, `<s>` before the first; it takes capitals, and a full stop without a blank."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({text: i for i, text in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, VOCABULARY.index(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token=BEGIN,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=LONGEST + 1,
        model_input_names=["input_ids", "attention_mask"],
    )


def loss_of(model: Any, batch: GrammarBatch) -> Tensor:
    """Mean nats per word, the full stop counted and padding not."""
    logits = model(input_ids=batch.input_ids).logits[:, :-1]
    wanted = batch.input_ids[:, 1:].masked_fill(~batch.mask[:, 1:], -100)
    return nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())


def script(name: str, *, make: Callable[[], nn.Module], steps: int, learning_rate: float) -> Script:
    """The script of one language model, which `make` makes untrained."""

    def plan_of(steps: int, seed: int) -> Plan:
        return Plan(steps=steps, seed=seed, learning_rate=learning_rate, warmup=min(100, steps // 10))

    def train(plan: Plan) -> Trained:
        torch.manual_seed(plan.seed)
        model = make()

        def loss_at(step: int) -> Tensor:
            return loss_of(model, sample(BATCH, seed=batch_seed(plan.seed, step), split="train"))

        outcome = fit(model, loss_at, plan)
        return Trained(model=model, seconds=outcome.seconds, settings=(tokenizer(),))

    return Script(name=name, steps=steps, batch=BATCH, plan_of=plan_of, train=train)
