"""Inputs of each kind as HTML: where marks lie, and that text from outside stays text."""

import io
import wave
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from anylens.core.errors import StoreError
from anylens.core.markup import Html, tag
from anylens.families.frames import Frames
from anylens.families.layouts import Patches, Place
from anylens.features.folder import read_wav
from anylens.features.kinds import Behind, Mark, Scene, View
from anylens.features.kinds.denoising import Denoising
from anylens.features.kinds.picture import Picture
from anylens.features.kinds.positions import Positions
from anylens.features.kinds.sound import Sound, heard
from anylens.features.kinds.text import Text
from anylens.features.media import png, wav
from anylens.zoo.labels import labels_of
from anylens.zoo.worlds import grammar, shapes, vowels


class Marks(HTMLParser):
    """Elements with the number of a mark, as dictionaries of their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if "data-p" in dict(attributes):
            self.found.append(dict(attributes))


def test_elements_escape_what_is_put_into_them():
    made = tag("p", "<b>", Html("<i>x</i>"), title='"&', data_p=0, hidden=False, x=0.0, open=True)
    assert made == '<p title="&quot;&amp;" data-p="0" x="0" open>&lt;b&gt;<i>x</i></p>'


def test_a_picture_is_what_it_was_before_the_processor():
    pixels = torch.rand(1, 3, 8, 6)
    kind = Picture("pixel_values", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    given = {
        "pixel_values": (pixels - torch.tensor(kind.mean)[:, None, None])
        / torch.tensor(kind.std)[:, None, None]
    }
    shown = kind.view(given, None, 0, None).media["picture"]
    image = torch.tensor(np.array(Image.open(io.BytesIO(shown.content)))).long()
    assert torch.equal(image, (pixels[0] * 255).round().long().permute(1, 2, 0))
    grey = Image.open(io.BytesIO(png(pixels[0, 0]).content))
    assert (grey.mode, grey.size) == ("L", (6, 8))


def test_patches_are_marked_where_the_layout_says_and_the_class_token_below():
    layout = Patches((4, 4), (2, 2), ("class",))
    marks = [Mark(n, layout.where((n,), (5,)), value=n / 4, tip=f"{n}") for n in range(5)]
    found = Marks(Picture("x", (0.0,), (1.0,)).html(View(), marks, lambda name: "")).found
    cells = {int(one["data-p"]): one for one in found}
    assert cells[2]["d"] == "M0.5 0H1V0.5H0.5Z"  # patch 1 of 4: the upper right quarter
    assert cells[2]["style"] == "--v:0.500"
    assert "d" not in cells[0]
    assert "al-best" in cells[4]["class"]


def test_only_the_strongest_step_of_a_denoising_is_shown():
    box = Place("cell", box=(0, 0, 1, 1))
    marks = [Mark(0, box, 0.2, step=0), Mark(1, box, 0.9, step=1), Mark(2, box, 0.1, step=2)]
    found = Marks(Denoising().html(View(), marks, lambda name: "")).found
    assert ["al-off" in one["class"] for one in found] == [True, False, True]


def test_tokens_and_positions_are_marked_and_escaped():
    marks = [Mark(0, Place("token 1", token=1), 0.7, "0.70")]
    html = Text("input_ids").html(View(words=("<b>", "<script>")), marks, lambda name: "")
    assert Marks(html).found[0]["style"] == "--v:0.700"
    assert {"b", "script"}.isdisjoint(Marks(html).tags)
    bars = Marks(Positions().html(View(), [Mark(3, Place("position 3"), 1.0, "2")], lambda name: "")).found
    assert (bars[0]["x"], bars[0]["data-p"]) == ("3", "3")


def test_a_sound_is_played_and_marked_in_seconds():
    sound = torch.cat([torch.zeros(8000), torch.sin(torch.arange(8000) / 3)])
    view = heard(sound, 16_000)
    assert view.seconds == 1.0
    assert max(view.outline[:118]) == 0
    assert min(view.outline[122:]) > 0.9
    with wave.open(io.BytesIO(view.media["sound"].content)) as file:
        assert (file.getnframes(), file.getframerate()) == (16_000, 16_000)
    mark = Mark(5, Place("frame 5", seconds=(0.6, 0.62)), 1.0, "3.00")
    html = Sound("input_values", 16_000, 0.01).html(view, [mark], lambda name: name)
    spans = Marks(html).found
    assert [(one["x"], one["width"]) for one in spans] == [
        ("0.6", "0.02")
    ] * 2  # over both pictures of the sound
    assert "strongest at 0.60 to 0.62 s" in html


def test_codes_of_a_sound_that_is_known_are_shown_as_the_sound():
    lens = SimpleNamespace(processor=None)
    sound, layout = torch.randn(2, 800), Frames(0.025)
    scene = Scene(lens, "decoder", {}, Behind(sound=sound, rate=400), layout)
    kind = Sound.of(scene)
    assert kind is not None
    assert kind.view({}, None, 1, scene.behind).seconds == 2.0
    assert Sound.of(replace(scene, behind=Behind())) is None
    assert Sound.of(replace(scene, layout=None)) is None


def test_wav_files_are_read_back(tmp_path):
    sound = torch.sin(torch.arange(4000) / 5) * 0.8
    (tmp_path / "a.wav").write_bytes(wav(sound, 8000).content)
    torch.testing.assert_close(read_wav(tmp_path / "a.wav", 8000), sound, atol=1e-4, rtol=0)
    assert len(read_wav(tmp_path / "a.wav", 16_000)) == 8000
    (tmp_path / "b.wav").write_text("nothing")
    with pytest.raises(StoreError, match=r"b\.wav"):
        read_wav(tmp_path / "b.wav", 8000)


def test_labels_lie_where_the_positions_of_the_model_do():
    batch = shapes.sample(3, seed=1)
    flat = labels_of("shapes", batch, {"pixel_values": None}, (65,))
    assert torch.equal(flat["colour"][:, 1:], batch.positions(patch=4)["colour"].flatten(1))
    assert (flat["colour"][:, 0] == -1).all()
    assert flat["the picture's colour"][:, 7].tolist() == batch.factors["colour"].tolist()
    assert labels_of("shapes", batch, {"latent": None}, (8, 8)) == {}
    assert set(labels_of("shapes", batch, {"prompt": None}, (4, 4))) == {
        f"the picture's {n}" for n in shapes.FACTORS
    }
    sounds = vowels.sample(2, seed=1)
    assert torch.equal(labels_of("vowels", sounds, {}, (100,))["pitch"], sounds.positions(hop=320)["pitch"])
    texts = grammar.sample(2, seed=1)
    found = labels_of("grammar", texts, {}, tuple(texts.input_ids.shape[1:]))
    assert torch.equal(found["role"], texts.positions()["role"])
