"""Pictures: each family's names, values against the models' own outputs, and where in the picture positions lie."""

import pytest
import torch

import anylens
from anylens.core.errors import AxisError
from anylens.families import Patches, Tokens
from anylens.families.windows import Window, Windows
from tests.models.vision import MODELS, picture

pytestmark = pytest.mark.filterwarnings("ignore")

CLAIMED = {
    **dict.fromkeys(("resnet", "resnet_bottleneck", "convnext"), "convolutional"),
    **dict.fromkeys(("vit", "dinov2", "dinov2_with_registers", "swin", "swin_v2"), "vision transformer"),
    "clip": "contrastive",
}


@pytest.mark.parametrize("name", MODELS)
def test_each_is_claimed_and_needs_no_example(name):
    lens = anylens.attach(MODELS[name]()[0])
    assert lens.family.name == CLAIMED[name]
    assert lens.anatomy.streams


@pytest.mark.parametrize("name", ["vit", "dinov2", "dinov2_with_registers"])
def test_the_stream_is_what_the_model_gives_as_hidden_states(name):
    model, example = MODELS[name]()
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(example, points=["blocks.*.hook_resid_*"])
    own = model(**example, output_hidden_states=True).hidden_states
    assert torch.equal(cache["blocks.0.hook_resid_pre"], own[0])
    for number in range(2):
        assert torch.equal(cache[f"blocks.{number}.hook_resid_post"], own[number + 1])


def test_patterns_are_what_the_model_gives_as_attentions():
    model, example = MODELS["vit"]()
    model.set_attn_implementation("eager")
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(example, points="blocks.*.attn.hook_pattern")
    for number, own in enumerate(model(**example, output_attentions=True).attentions):
        assert torch.equal(cache[f"blocks.{number}.attn.hook_pattern"], own)


@pytest.mark.parametrize("name", ["resnet", "resnet_bottleneck", "convnext"])
def test_the_ends_of_stages_are_what_the_model_gives_as_hidden_states(name):
    model, example = MODELS[name]()
    lens = anylens.attach(model, example)
    points = ["stages.0.blocks.1.hook_resid_post", "stages.1.blocks.2.hook_resid_post"]
    _, cache = lens.run_with_cache(example, points=points)
    own = model(**example, output_hidden_states=True).hidden_states
    for point, hidden in zip(points, own[1:], strict=True):
        assert torch.equal(cache[point], hidden)
        assert lens.points[point].axes == ("batch", "channel", "height", "width")


def test_registers_stand_between_the_class_token_and_the_patches():
    lens = anylens.attach(MODELS["dinov2_with_registers"]()[0])
    labels = [lens.layout.where((n,), (30,)).label for n in (0, 1, 4, 5, 29)]
    assert labels == ["class token", "register 0 token", "register 3 token", "patch (0, 0)", "patch (4, 4)"]


# -- pictures beside text ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip():
    model, example = MODELS["clip"]()
    return anylens.attach(model, example), example


def test_each_tower_has_a_stream_of_its_own(clip):
    lens, _ = clip
    streams = {stream.prefix: len(stream.blocks) for stream in lens.anatomy.streams}
    assert streams == {"vision": 2, "text": 3}


def test_the_joint_space_before_and_after_lengths_are_taken_out(clip):
    lens, example = clip
    out, cache = lens.run_with_cache(example, points="*hook_joint*")
    pixels, ids = example["pixel_values"], example["input_ids"]
    assert torch.equal(
        cache["vision.hook_joint"], lens.model.get_image_features(pixel_values=pixels).pooler_output
    )
    assert torch.equal(cache["text.hook_joint"], lens.model.get_text_features(input_ids=ids).pooler_output)
    assert torch.equal(cache["vision.hook_joint_normalized"], out.image_embeds)
    assert torch.equal(cache["text.hook_joint_normalized"], out.text_embeds)
    assert cache.axes("vision.hook_joint") == ("batch", "d_joint")


def test_an_edit_in_the_joint_space_moves_the_logits(clip):
    lens, example = clip
    turned = lens.run_with_hooks(example, hooks={"vision.hook_joint": anylens.scale(-1.0)})
    longer = lens.run_with_hooks(example, hooks={"vision.hook_joint": anylens.scale(2.0)})
    own = lens.model(**example)
    assert torch.equal(turned.logits_per_image, -own.logits_per_image)
    torch.testing.assert_close(longer.logits_per_image, own.logits_per_image)  # its length is taken out


def test_positions_are_tokens_in_one_tower_and_patches_in_the_other(clip):
    layout = clip[0].layout
    assert isinstance(layout.of("text.blocks.1.hook_resid_post"), Tokens)
    assert isinstance(layout.of("vision.blocks.1.hook_resid_post"), Patches)
    assert layout.of("vision.hook_embed").where((6,), (26,)).label == "patch (1, 0)"
    with pytest.raises(AxisError, match="layout.of"):
        layout.where((6,), (26,))
    with pytest.raises(AxisError, match="none of the components"):
        layout.of("visual_projection.hook_out")


# -- windows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["swin", "swin_v2"])
def test_windows_are_an_axis(name):
    model, example = MODELS[name]()
    lens = anylens.attach(model, example)
    pattern = lens.points["stages.0.blocks.1.attn.hook_pattern"]
    assert pattern.axes == ("batch", "window", "head", "query_pos", "key_pos")
    assert pattern.shape == (2, 16, 2, 9, 9)
    one = {"pixel_values": torch.cat([example["pixel_values"], picture(24, 24)])[:3]}
    _, cache = lens.run_with_cache(one, points=["stages.*.attn.hook_result", "stages.*.attn.hook_q"])
    assert cache["stages.1.blocks.0.attn.hook_q"].shape == (3, 4, 9, 4, 6)
    assert cache["stages.1.blocks.0.attn.hook_result"].shape == (3, 4, 9, 4, 24)


def test_other_sizes_of_pictures_have_other_numbers_of_windows():
    model, example = MODELS["swin"]()
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(pixel_values=picture(36, 36), points="stages.0.blocks.0.attn.hook_pattern")
    assert cache["stages.0.blocks.0.attn.hook_pattern"].shape == (2, 36, 2, 9, 9)


def test_windows_hold_the_models_own_attentions():
    model, example = MODELS["swin_v2"]()
    lens = anylens.attach(model, example)
    _, cache = lens.run_with_cache(example, points="stages.0.blocks.1.attn.hook_pattern")
    own = model(**example, output_attentions=True).attentions
    assert torch.equal(
        cache["stages.0.blocks.1.attn.hook_pattern"].flatten(0, 1), own[0]
    )  # each stage's last


@pytest.mark.parametrize(
    ("size", "window", "block"),
    [(24, 3, "stages.0.blocks.0"), (24, 3, "stages.0.blocks.1"), (24, 3, "stages.1.blocks.1"),
     (20, 4, "stages.0.blocks.0"), (20, 4, "stages.0.blocks.1"), (20, 5, "stages.1.blocks.1")],
)  # fmt: skip
def test_a_place_in_a_window_is_where_the_stream_went(size, window, block):
    """An edit of the stream at one patch moves the queries of one (window, position): that which the layout says."""
    import transformers

    settings = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 4], "window_size": window}
    model = transformers.SwinModel(transformers.SwinConfig(image_size=size, patch_size=2, **settings)).eval()
    lens = anylens.attach(model, {"pixel_values": picture(size, size)})
    pixels, name = picture(size, size), f"{block}.attn.hook_q"
    layout = lens.layout.of(name)
    assert isinstance(lens.layout, Windows)
    windows = "window" in lens.points[name].axes
    assert isinstance(layout, Window) == windows
    _, before = lens.run_with_cache(pixel_values=pixels, points=name)
    count = lens.points[f"{block}.hook_resid_pre"].shape[1]
    for position in range(0, count, 7):
        hooks = {f"{block}.ln1.hook_normalized": anylens.scale(3.0).on(pos=position)}
        with lens.hooks(hooks):
            _, after = lens.run_with_cache(pixel_values=pixels, points=name)
        moved = (before[name] != after[name]).any(-1).any(-1).any(0)
        ((where),) = moved.nonzero().tolist()
        stream = lens.layout.where((position,), (count,))
        assert layout.where(tuple(where), tuple(moved.shape)) == stream


def test_what_is_padding_is_in_no_place():
    layout = Window((10, 10), 4)
    assert layout.where((8, 15), (9, 16)).box is None
    assert layout.where((8, 0), (9, 16)).label == "patch (8, 8)"
    with pytest.raises(AxisError, match="9 windows of 16"):
        layout.where((0, 0), (4, 16))
    with pytest.raises(AxisError, match="does not lie within"):
        layout.where((9, 0), (9, 16))
