"""Denoisers: their parts by name, attention per token and per head, and which keys are text and which picture."""

import pytest
import torch

import anylens
from anylens.families import Joint, family_for
from tests.models import diffusion

pytestmark = pytest.mark.filterwarnings("ignore")

FAMILIES = {
    "unet": "u-net",
    "unet_condition": "u-net",
    "dit": "diffusion transformer",
    "sd3": "diffusion transformer",
    "flux": "flux",
}
STREAMS = {
    "unet": [
        *("down.0.resnets.0", "down.1.resnets.0", "down.1.attentions.0"),
        *("mid.resnets.0", "mid.attentions.0", "mid.resnets.1"),
        *("up.0.resnets.0", "up.0.attentions.0", "up.0.resnets.1", "up.0.attentions.1"),
        *("up.1.resnets.0", "up.1.resnets.1"),
    ],
    "dit": [""],
    "sd3": ["image", "text"],
    "flux": ["double.image", "double.text", "single"],
}


def lens_on(name):
    model, given = diffusion.MODELS[name]()
    return anylens.attach(model), given


def hooked(model, paths, given):
    """Run a model with plain hooks, and return what entered and left some modules."""
    seen, handles = {}, []
    for path in paths:

        def keep(_, args, kwargs, out, path=path):
            seen[path] = ({**dict(enumerate(args)), **kwargs}, out)

        handles.append(model.get_submodule(path).register_forward_hook(keep, with_kwargs=True))
    with torch.no_grad():
        model(**given)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", FAMILIES)
def test_denoisers_are_claimed_and_need_no_example(name):
    model, _ = diffusion.MODELS[name]()
    assert family_for(model).name == FAMILIES[name]
    lens = anylens.attach(model)
    assert lens.anatomy.streams
    assert STREAMS.get(name, [s.prefix for s in lens.anatomy.streams]) == [
        s.prefix for s in lens.anatomy.streams
    ]


def test_parts_of_a_unet_are_named_by_their_place():
    lens = anylens.attach(diffusion.unet_large()[0])
    blocks = {stream.prefix: len(stream.blocks) for stream in lens.anatomy.streams}
    assert blocks["down.0.resnets"] == 2  # one after the other, nothing between them
    assert blocks["down.1.attentions.1"] == blocks["mid.attentions.0"] == blocks["up.0.attentions.2"] == 2
    assert blocks["down.1.resnets.1"] == 1  # attention stands between it and the one before
    written = {block.path: block.writes for stream in lens.anatomy.streams for block in stream.blocks}
    assert written["up_blocks.0.attentions.2.transformer_blocks.1"] == ("attn", "cross_attn", "mlp")
    assert written["up_blocks.0.resnets.2"] == ()  # its input is joined with a skip, so its shortcut is a map


def test_maps_of_cross_attention_are_softmaxed_products_of_queries_and_the_prompts_keys():
    lens, given = lens_on("unet_condition")
    name, path = (
        "up.1.attentions.1.blocks.0.cross_attn",
        "up_blocks.1.attentions.1.transformer_blocks.0.attn2",
    )
    point = lens.points[f"{name}.hook_pattern"]
    assert point.axes == ("batch", "head", "query_pos", "key_pos")
    maps = lens.run_with_cache(given, points="cross_attention_maps")[1]
    assert len(maps) == 4  # one place on the way down, one in the middle, two on the way up
    found = maps[point.name]
    assert found.shape == (2, 3, 8 * 12, diffusion.TOKENS)
    seen = hooked(lens.model, [f"{path}.to_q", f"{path}.to_k"], given)
    q, k = (seen[f"{path}.{part}"][1].unflatten(-1, (3, -1)).transpose(1, 2) for part in ("to_q", "to_k"))
    torch.testing.assert_close(found, (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))


def test_scores_of_a_token_edited_everywhere_are_the_models_own_mask():
    lens, given = lens_on("unet_condition")
    mask = torch.ones(2, diffusion.TOKENS)
    mask[:, 3] = 0
    masked = lens.model(**given, encoder_attention_mask=mask).sample
    hide = {"*cross_attn.hook_attn_scores": anylens.set_to(-torch.inf).on(key_pos=3)}
    torch.testing.assert_close(lens.run_with_hooks(given, hooks=hide).sample, masked)
    assert not torch.allclose(masked, lens.model(**given).sample)


def test_the_bottleneck_and_the_time_are_points():
    lens, given = lens_on("unet")
    _, cache = lens.run_with_cache(given, points=["mid.hook_h", "hook_time_embed"])
    seen = hooked(lens.model, ["mid_block", "time_embedding"], given)
    assert torch.equal(cache["mid.hook_h"], seen["mid_block"][1])
    assert torch.equal(cache["hook_time_embed"], seen["time_embedding"][1])
    assert lens.points["mid.hook_h"].axes == ("batch", "channel", "height", "width")


def test_an_edit_of_what_enters_a_block_leaves_the_skip_connection_as_it_is():
    lens, given = lens_on("unet")
    start, skip = "down.0.resnets.0.blocks.0.hook_resid_pre", "up_blocks.1.resnets.1.hook_in"
    before, after = (
        lens.run_with_cache(given, points=skip)[1][skip],
        _read_with(lens, given, {start: anylens.scale(3)}, skip),
    )
    first = lens.model.config.block_out_channels[0]
    assert torch.equal(before[:, first:], after[:, first:])
    assert not torch.equal(before[:, :first], after[:, :first])


def _read_with(lens, given, hooks, name):
    with lens.hooks(hooks):
        return lens.run_with_cache(given, points=name)[1][name]


def test_a_cell_of_a_unets_grid_is_where_it_is_in_every_shape():
    layout = lens_on("unet_condition")[0].layout
    name = "up.1.attentions.1.blocks.0"
    whole = layout.of(f"{name}.hook_resid_post").where((13,), (96,))
    assert whole.box == (1 / 8, 1 / 12, 2 / 8, 2 / 12)
    assert layout.of("mid.hook_h").where((1, 2), (4, 6)).box == layout.where((8,), (24,)).box
    assert layout.of(f"{name}.cross_attn.hook_k").where((3,), (7,)).token == 3
    assert layout.of(f"{name}.attn.hook_k").where((3,), (96,)).token is None
    assert layout.keys.where((3,), (7,)).label == "token 3"


def test_a_patch_of_a_dit_is_where_its_latents_are():
    lens, given = lens_on("dit")
    top, left, bottom, right = (round(10 * edge) for edge in lens.layout.where((13,), (25,)).box)
    changed = given["hidden_states"].clone()
    changed[..., top:bottom, left:right] += 1
    name = "blocks.0.hook_resid_pre"
    before, after = (
        lens.run_with_cache({**given, "hidden_states": x}, points=name)[1][name]
        for x in (given["hidden_states"], changed)
    )
    assert torch.equal((before != after).any(-1).any(0).nonzero().flatten(), torch.tensor([13]))


@pytest.mark.parametrize(("name", "point"), [("sd3", "image.blocks.0"), ("flux", "double.image.blocks.0")])
def test_keys_of_joint_attention_are_whose_the_layout_says(name, point):
    lens, given = lens_on(name)
    layout, key = lens.layout.of(f"{point}.attn.hook_k"), f"{point}.attn.hook_k"
    assert isinstance(layout, Joint)
    before = lens.run_with_cache(given, points=key)[1][key]
    spans = layout.sized(text=diffusion.TOKENS).spans(before.shape[1])
    assert {part: span.stop - span.start for part, span in spans.items()}["text"] == diffusion.TOKENS
    for argument, part in (("encoder_hidden_states", "text"), ("hidden_states", "image")):
        other = {**given, argument: given[argument] + 1}
        after = lens.run_with_cache(other, points=key)[1][key]
        moved = (before != after).flatten(2).any(-1).any(0)
        expected = torch.zeros_like(moved)
        expected[spans[part]] = True
        assert torch.equal(moved, expected)


def test_the_streams_of_sd3_are_those_of_its_blocks():
    lens, given = lens_on("sd3")
    points = [
        "image.blocks.1.hook_resid_pre",
        "text.blocks.1.hook_resid_pre",
        "text.blocks.1.hook_resid_post",
    ]
    _, cache = lens.run_with_cache(given, points=points)
    entered, left = hooked(lens.model, ["transformer_blocks.1"], given)["transformer_blocks.1"]
    assert torch.equal(cache[points[0]], entered["hidden_states"])
    assert torch.equal(cache[points[1]], entered["encoder_hidden_states"])
    assert torch.equal(cache[points[2]], left[0])
    assert [len(stream.blocks) for stream in lens.anatomy.streams] == [
        3,
        2,
    ]  # the last block reads the text only


def test_the_single_blocks_of_flux_have_one_stream_of_text_and_picture():
    lens, given = lens_on("flux")
    points = [
        "single.blocks.1.hook_resid_pre",
        "single.blocks.1.hook_attn_out",
        "single.blocks.1.hook_resid_post",
    ]
    _, cache = lens.run_with_cache(given, points=points)
    pre, written, post = (cache[name] for name in points)
    entered, left = hooked(lens.model, ["single_transformer_blocks.1"], given)["single_transformer_blocks.1"]
    assert torch.equal(pre, torch.cat([entered["encoder_hidden_states"], entered["hidden_states"]], 1))
    assert torch.equal(post, torch.cat(left, 1))
    assert torch.equal(pre + written, post)
    assert "picture" not in lens.layout.of(points[0]).sized(text=7).where((6,), (27,)).label


def test_the_first_map_of_a_gated_mlp_is_its_own_not_the_gates():
    for name, path in (("dit", "blocks.0"), ("sd3", "text.blocks.0"), ("flux", "double.text.blocks.0")):
        lens, _ = lens_on(name)
        assert lens.points[f"{path}.mlp.hook_pre"].tap.path.endswith("net.0.proj")
