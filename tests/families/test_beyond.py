"""Films, proteins, series and recurrent networks: names, values against the models' own, places in the input."""

import pytest
import torch
from torch import nn

import anylens
from anylens.core.errors import AxisError
from tests.models.beyond import MODELS

pytestmark = pytest.mark.filterwarnings("ignore")

CLAIMED = {
    **dict.fromkeys(("videomae", "videomae_pretraining"), "video"),
    "esm": "protein",
    "patchtst": "series",
    "lstm": "LSTM",
    "gru": "GRU or plain RNN",
}


@pytest.mark.parametrize("name", CLAIMED)
def test_each_is_claimed_and_needs_no_example(name):
    lens = anylens.attach(MODELS[name]()[0])
    assert lens.family.name == CLAIMED[name]
    assert lens.points


@pytest.mark.parametrize("name", ["videomae", "esm"])
def test_the_stream_is_what_the_model_gives_as_hidden_states(name):
    model, example = MODELS[name]()
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(example, points="blocks.*.hook_resid_*")
    own = model(**example, output_hidden_states=True).hidden_states
    for number in range(2):
        assert torch.equal(cache[f"blocks.{number}.hook_resid_pre"], own[number])
    assert torch.equal(cache["blocks.0.hook_resid_post"], own[1])


# -- films -------------------------------------------------------------------------------------------------------------


def test_a_tubelet_is_where_its_pixels_are():
    model, example = MODELS["videomae"]()
    lens = anylens.attach(model, example)
    films, name = example["pixel_values"], "hook_embed"
    _, before = lens.run_with_cache(pixel_values=films, points=name)
    for position in (0, 6, 30, 74):
        place = lens.layout.of(name).where((position,), (75,))
        top, left, bottom, right = (round(20 * edge) for edge in place.box)
        changed = films.clone()
        changed[:, slice(*place.frames), :, top:bottom, left:right] += 1
        _, after = lens.run_with_cache(pixel_values=changed, points=name)
        assert (before[name] != after[name]).any(-1).any(0).nonzero().flatten().tolist() == [position]


def test_a_mask_says_which_tubelets_an_encoder_sees():
    model, example = MODELS["videomae_pretraining"]()
    lens = anylens.attach(model, example)
    assert [stream.prefix for stream in lens.anatomy.streams] == ["encoder", "decoder"]
    with pytest.raises(AxisError, match="layout.given"):
        lens.layout.of("encoder.blocks.0.hook_resid_pre").where((1,), (50,))
    layout, seen = lens.layout.given(example), (~example["bool_masked_pos"][0]).nonzero().flatten().tolist()
    whole = lens.layout.of("encoder")
    for position in (0, 1, 49):
        place = layout.of("encoder.blocks.0.hook_resid_pre").where((position,), (50,))
        assert place == whole.where((seen[position],), (75,))
        assert layout.of("decoder.blocks.0.hook_resid_pre").where((position,), (75,)) == place
    assert layout.of("encoder.hook_embed").where((1,), (75,)).label == "tubelet (0, 0, 1)"
    last = layout.of("decoder.ln_final.hook_normalized").where((0,), (25,))
    assert last.label == "tubelet (0, 0, 1)"  # the first that is masked


# -- proteins ----------------------------------------------------------------------------------------------------------


def test_residues_are_counted_from_one():
    lens = anylens.attach(MODELS["esm"]()[0])
    ids = torch.tensor([[0, 20, 32, 5, 2, 1]])  # start, M, masked, A, end, padding
    layout = lens.layout.given({"input_ids": ids}).of("blocks.0.hook_resid_post")
    labels = [layout.where((n,), (6,)).label for n in range(6)]
    assert labels == ["start", "residue 1 (M)", "residue 2 (masked)", "residue 3 (A)", "end", "padding"]
    assert lens.layout.where((3,), (6,)).label == "residue 3"


def test_the_letters_are_those_of_the_vocabulary():
    from transformers.models.esm.configuration_esm import get_default_vocab_list

    from anylens.families.protein import FIRST_LETTER, LETTERS

    assert "".join(get_default_vocab_list()[FIRST_LETTER:-2]) == LETTERS


# -- series ------------------------------------------------------------------------------------------------------------


def test_every_channel_of_a_series_is_an_axis():
    model, example = MODELS["patchtst"]()
    lens = anylens.attach(model, example)
    assert lens.points["blocks.1.hook_resid_post"].axes == ("batch", "channel", "pos", "d_model")
    assert lens.points["blocks.1.hook_mlp_out"].shape == (2, 5, 6, 24)
    assert lens.points["blocks.1.attn.hook_pattern"].axes == (
        "batch",
        "channel",
        "head",
        "query_pos",
        "key_pos",
    )
    _, cache = lens.run_with_cache(past_values=torch.randn(3, 26, 5), points="blocks.0.hook_mlp_out")
    assert cache["blocks.0.hook_mlp_out"].shape == (3, 5, 6, 24)
    own = lens.model.model(past_values=example["past_values"], output_hidden_states=True).hidden_states
    _, cache = lens.run_with_cache(example, points=["blocks.0.hook_resid_pre", "blocks.0.hook_resid_post"])
    assert torch.equal(cache["blocks.0.hook_resid_pre"], own[0])
    assert torch.equal(cache["blocks.0.hook_resid_post"], own[1])


def test_an_edit_of_one_channel_stays_in_it():
    model, example = MODELS["patchtst"]()
    lens = anylens.attach(model, example)
    hooks = {"blocks.0.hook_mlp_out": anylens.scale(0.0).on(channel=3)}
    moved = (
        lens.run_with_hooks(example, hooks=hooks).prediction_outputs != model(**example).prediction_outputs
    )
    assert moved.any(0).any(0).nonzero().flatten().tolist() == [3]


def test_a_patch_of_a_series_is_where_its_steps_are():
    model, example = MODELS["patchtst"]()
    lens = anylens.attach(model, example)
    values, name = example["past_values"], "model.hook_out[patch_input]"
    _, before = lens.run_with_cache(past_values=values, points=name)
    for channel, position in ((0, 0), (2, 3), (4, 5)):
        place = lens.layout.where((channel, position), (5, 6))
        assert place.channel == channel
        mine = lens.model.model.scaler(values, torch.ones_like(values))[0][:, slice(*place.steps), channel]
        assert torch.allclose(before[name][:, channel, position], mine)


# -- recurrent networks ------------------------------------------------------------------------------------------------


def test_what_an_lstm_gives_is_there_under_torchs_names():
    model, example = MODELS["lstm"]()
    lens = anylens.attach(model, example)
    (output, (h_n, c_n)), cache = lens.run_with_cache(example, points=["hook_output", "hook_h_n", "hook_c_n"])
    for name, own in (("hook_output", output), ("hook_h_n", h_n), ("hook_c_n", c_n)):
        assert torch.equal(cache[name], own)
    assert lens.points["hook_output"].axes == ("batch", "pos", "feature")
    assert lens.points["hook_c_n"].axes == ("layer_direction", "batch", "feature")
    gru = anylens.attach(*MODELS["gru"]())
    assert gru.points["hook_output"].axes == ("pos", "batch", "feature")
    assert gru.points["hook_h_n"].axes == ("layer", "batch", "feature")


def test_an_lstm_inside_a_model_is_edited_at_one_position():
    model, example = MODELS["tagger"]()
    lens = anylens.attach(model, example)
    assert lens.points["rnn.hook_out"].axes == ("batch", "pos", "feature")
    edited = lens.run_with_hooks(example, hooks={"rnn.hook_out": anylens.scale(0.0).on(pos=4)})
    moved = (edited != model(**example)).any(-1).any(0)
    assert moved.nonzero().flatten().tolist() == [4]


def test_a_cell_in_a_loop_is_followed_position_by_position():
    model, example = MODELS["reader"]()
    lens = anylens.attach(model, example)
    hidden, states = [], []

    def keep(_, __, out):
        hidden.append(out[0])
        states.append(out[1])

    handle = model.cell.register_forward_hook(keep)
    out, steps = lens.record(example, points=["cell.hook_out", "cell.hook_out[1]"])
    handle.remove()
    assert torch.equal(steps.stack("cell.hook_out"), torch.stack(hidden))
    assert torch.equal(steps.stack("cell.hook_out[1]"), torch.stack(states))
    assert len(hidden) == 7


def test_an_edit_of_the_cell_state_at_one_position_changes_what_follows():
    model, example = MODELS["reader"]()
    lens = anylens.attach(model, example)
    hooks = {"cell.calls.4.hook_out[1]": anylens.scale(0.0)}
    with lens.hooks(hooks):
        _, steps = lens.record(example, points="cell.hook_out")
    _, own = lens.record(example, points="cell.hook_out")
    moved = (steps.stack("cell.hook_out") != own.stack("cell.hook_out")).flatten(1).any(1)
    assert moved.tolist() == [False] * 5 + [True] * 2


def test_a_cell_attached_alone_counts_its_calls_as_steps():
    cell = nn.LSTMCell(5, 24)
    lens = anylens.attach(cell, torch.randn(2, 5))
    values = torch.randn(2, 7, 5)

    def read(values):
        state = None
        for value in values.unbind(1):
            state = cell(value, state)
        return state

    (h, _), steps = lens.record(values, method=read, points="hook_out", steps=slice(None, None, 2))
    assert steps.stack("hook_out").shape == (4, 2, 24)
    assert torch.equal(steps.stack("hook_out")[-1], h)
