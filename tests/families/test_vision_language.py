"""Pictures among text: the parts by name, values against the model's own, and which positions are a picture's."""

import pytest
import torch

import anylens
from anylens.core.errors import AxisError
from tests.models.vision_language import IMAGE_TOKEN, MODELS, PATCHES, prompt

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made():
    model, example = MODELS["llava"]()
    return anylens.attach(model, example), example


def test_it_is_claimed_and_needs_no_example():
    lens = anylens.attach(MODELS["llava"]()[0])
    assert lens.family.name == "vision-language"
    assert {stream.prefix: len(stream.blocks) for stream in lens.anatomy.streams} == {
        "vision": 3,
        "language": 2,
    }
    ids = lens.family.example_of(lens.model)["input_ids"]
    assert ((ids == IMAGE_TOKEN).sum(1) == PATCHES).all()


def test_what_the_projector_gives_stands_where_the_image_tokens_are(made):
    lens, example = made
    points = ["projector.hook_out", "language.blocks.0.hook_resid_pre", "language.hook_embed"]
    out, cache = lens.run_with_cache(example, points=points)
    stream, image = cache["language.blocks.0.hook_resid_pre"], example["input_ids"] == IMAGE_TOKEN
    assert torch.equal(stream[image], cache["projector.hook_out"].flatten(0, 1))
    assert torch.equal(stream[~image], cache["language.hook_embed"][~image])
    assert torch.equal(out.image_hidden_states, cache["projector.hook_out"].flatten(0, 1))
    assert lens.points["projector.hook_in"].axes == ("batch", "pos", "d_vision")


def test_the_tower_is_read_before_its_last_block(made):
    lens, example = made
    _, cache = lens.run_with_cache(example, points=["vision.blocks.1.hook_resid_post", "projector.hook_in"])
    assert torch.equal(cache["projector.hook_in"], cache["vision.blocks.1.hook_resid_post"][:, 1:])


def test_an_edit_of_the_layer_that_is_read_reaches_the_text(made):
    """The tower's hidden states are kept by hooks of the library's own: an edit comes before them."""
    lens, example = made
    own = lens.model(**example).logits
    read = lens.run_with_hooks(example, hooks={"vision.blocks.1.hook_resid_post": anylens.scale(0.0)})
    unread = lens.run_with_hooks(example, hooks={"vision.blocks.2.hook_resid_post": anylens.scale(0.0)})
    assert not torch.equal(read.logits, own)
    assert torch.equal(unread.logits, own)


def test_every_position_is_a_token_or_a_patch(made):
    lens, example = made
    layout = lens.layout.given(example).of("language.blocks.1.hook_resid_post")
    places = [layout.where((n,), (15,)) for n in range(15)]
    assert [place.token for place in places[:2] + places[11:]] == [0, 1, 11, 12, 13, 14]
    assert [place.label for place in places[2:5]] == [f"picture 0, patch (0, {n})" for n in range(3)]
    assert places[10].box == (2 / 3, 2 / 3, 1, 1)
    second = lens.layout.given(example, row=1).of("language.hook_embed").where((2,), (15,))
    assert (second.picture, second.token) == (1, None)


def test_a_patch_of_the_picture_is_at_the_position_that_the_layout_says(made):
    lens, example = made
    layout, name = lens.layout.given(example, row=1), "language.blocks.0.hook_resid_pre"
    _, before = lens.run_with_cache(example, points=name)
    for patch in range(PATCHES):
        with lens.hooks({"projector.hook_in": anylens.scale(2.0).on(batch=1, pos=patch)}):
            _, after = lens.run_with_cache(example, points=name)
        ((row, position),) = (before[name] != after[name]).any(-1).nonzero().tolist()
        place = layout.of(name).where((position,), (15,))
        assert (row, place.picture) == (1, 1)
        assert place.box == layout.of("projector.hook_in").where((patch,), (PATCHES,)).box


def test_rows_may_have_their_pictures_elsewhere(made):
    layout = made[0].layout
    ids = torch.cat([prompt(2, 4, rows=1), prompt(5, 1, rows=1)])
    first, second = (layout.given({"input_ids": ids}, row=row).of("language") for row in (0, 1))
    assert first.where((2,), (15,)).label == "picture 0, patch (0, 0)"
    assert second.where((2,), (15,)).token == 2
    assert second.where((5,), (15,)).label == "picture 1, patch (0, 0)"
    two = torch.cat([prompt(1, 1, rows=1), prompt(1, 1, rows=1)], 1)
    assert layout.given(two).of("language").where((12,), (22,)).picture == 1


def test_generated_tokens_are_tokens(made):
    lens, example = made
    layout = lens.layout.given(example).of("language.blocks.0.hook_resid_post")
    assert layout.where((16,), (17,)).token == 16
    with pytest.raises(AxisError, match="cached step"):
        layout.where((0,), (1,))


def test_without_an_input_nobody_knows(made):
    with pytest.raises(AxisError, match="layout.given"):
        made[0].layout.of("language.hook_embed").where((0,), (15,))
    with pytest.raises(AxisError, match="no row 2"):
        made[0].layout.given(made[1], row=2)
