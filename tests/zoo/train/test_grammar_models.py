"""The scripts that train the grammar's models run from end to end, and their tokenizer takes the world's sentences."""

import json

import pytest
import torch

from anylens.zoo import check, load_model, load_processor
from anylens.zoo.catalogue import ENTRIES
from anylens.zoo.train import grammar_gpt2, grammar_mamba, grammar_mamba2
from anylens.zoo.train.grammar_models import loss_of, tokenizer
from anylens.zoo.worlds.grammar import GrammarBatch, Sentence, sample
from anylens.zoo.worlds.lexicon import VOCABULARY

SCRIPTS = {module.SCRIPT.name: module for module in (grammar_gpt2, grammar_mamba, grammar_mamba2)}


@pytest.mark.parametrize("name", [known.name for known in ENTRIES if known.world == "grammar"])
def test_two_steps_write_a_model_that_loads(name, tmp_path, monkeypatch, capsys):
    threads = torch.get_num_threads()
    monkeypatch.setattr(check, "record", lambda name, *, folder: {"excess": 0.5})
    SCRIPTS[name].SCRIPT.main(["--steps", "2", "--folder", str(tmp_path), "--threads", str(threads)])
    model = load_model(name, folder=tmp_path)
    assert model.config.eos_token_id == VOCABULARY.index(".")
    assert len(load_processor(name, folder=tmp_path)) == len(VOCABULARY)
    assert json.loads((tmp_path / "card.json").read_text())["steps"] == 2
    assert '"excess": 0.5' in capsys.readouterr().out


def test_the_tokenizer_gives_the_worlds_tokens():
    batch = sample(20, seed=0)
    given = tokenizer()(batch.texts, padding=True, return_tensors="pt")
    assert torch.equal(given.input_ids, batch.input_ids)
    assert torch.equal(given.attention_mask.bool(), batch.mask)


def test_the_tokenizer_takes_capitals_and_knows_what_it_does_not_know():
    made = tokenizer()
    told = made.convert_ids_to_tokens(made("The king paints a crown.").input_ids)
    assert told == ["<s>", "the", "king", "paints", "<unk>", "crown", "."]
    assert made.decode(made("the king claims the crown .").input_ids, skip_special_tokens=True) == (
        "the king claims the crown ."
    )


def test_the_loss_counts_words_and_no_padding():
    class Even(torch.nn.Module):
        """Finds every token equally likely."""

        def forward(self, input_ids):
            logits = torch.zeros(*input_ids.shape, len(VOCABULARY))
            logits[input_ids == VOCABULARY.index("<pad>")] = 100 * torch.randn(len(VOCABULARY))
            return type("Output", (), {"logits": logits})

    batch = GrammarBatch(
        (Sentence.of("the king claims the crown ."), Sentence.of("the hens kick every old barn ."))
    )
    assert loss_of(Even(), batch).item() == pytest.approx(torch.tensor(len(VOCABULARY)).log().item())
