"""Layouts of text beside a picture."""

import pytest

from anylens.core.errors import AxisError
from anylens.families import Crossed, Joint, Patches, Tokens

PATCHES = Patches((2, 2), (4, 4))
TEXT = Tokens((("", "encoder_hidden_states"),))


def test_spans_follow_the_order_of_the_parts():
    first = Joint((("text", TEXT), ("image", PATCHES)), (("image", 16),))
    last = Joint((("image", PATCHES), ("text", TEXT)), (("image", 16),))
    assert first.spans(23) == {"text": slice(0, 7), "image": slice(7, 23)}
    assert last.spans(23) == {"image": slice(0, 16), "text": slice(16, 23)}


def test_another_size_is_said():
    layout = Joint((("text", TEXT), ("image", PATCHES)), (("image", 16),))
    assert layout.sized(text=9).spans(13) == {"text": slice(0, 9), "image": slice(9, 13)}
    assert layout.sized(image=4).spans(13) == layout.sized(text=9).spans(13)
    assert layout.spans(23) == layout.sized(text=7).spans(23)


def test_places_say_whose_they_are():
    layout = Joint((("text", TEXT), ("image", PATCHES))).sized(text=7)
    assert layout.where((6,), (23,)).label == "text token 6"
    assert layout.where((6,), (23,)).token == 6
    last = layout.where((22,), (23,))
    assert last.label == "image patch (3, 3)"
    assert last.box == (3 / 4, 3 / 4, 1, 1)


def test_what_is_not_known_or_does_not_fit_is_refused():
    layout = Joint((("text", TEXT), ("image", PATCHES)))
    with pytest.raises(AxisError, match=r"layout\.sized\(text="):
        layout.spans(23)
    with pytest.raises(AxisError, match="do not divide"):
        layout.sized(text=30).spans(23)
    with pytest.raises(AxisError, match="do not divide"):
        layout.sized(text=3, image=16).spans(23)
    with pytest.raises(AxisError, match="no part audio"):
        layout.sized(audio=3)
    with pytest.raises(AxisError, match="does not lie within"):
        layout.sized(text=7).where((23,), (23,))


def test_points_of_one_stream_have_its_layout_and_attention_that_of_all():
    layout = Joint((("text", TEXT), ("image", PATCHES)))
    assert layout.of("double.text.blocks.0.hook_resid_post") is TEXT
    assert layout.of("image.blocks.0.mlp.hook_pre") is PATCHES
    assert layout.of("image.blocks.0.attn.hook_pattern") is layout
    assert layout.of("single.blocks.0.hook_resid_post") is layout


def test_keys_of_cross_attention_are_the_others():
    layout = Crossed(PATCHES, TEXT)
    assert layout.of("mid.attentions.0.blocks.0.cross_attn.hook_k") is TEXT
    assert layout.of("mid.attentions.0.blocks.0.cross_attn.hook_q") is PATCHES
    assert layout.of("mid.attentions.0.blocks.0.attn.hook_k") is PATCHES
    assert layout.where((5,), (16,)) == PATCHES.where((5,), (16,))
