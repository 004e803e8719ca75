"""A write that goes through the positions one by one is a mixer, whatever maps and activations it has."""

import pytest
import torch

import anylens


@pytest.mark.filterwarnings("ignore")
def test_a_recurrence_is_no_mlp():
    import transformers

    sizes = {"hidden_size": 12, "attention_hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 2}
    model = transformers.RwkvForCausalLM(transformers.RwkvConfig(vocab_size=53, **sizes)).eval()
    lens = anylens.attach(model, {"input_ids": torch.randint(3, 53, (2, 7))})
    assert [block.writes for block in lens.anatomy.streams[0].blocks] == [("mixer", "mlp")] * 2
    assert "blocks.0.mlp.hook_post" in lens.points
