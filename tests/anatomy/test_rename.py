"""Streams named by component; names by path alone, and all that was watched, stay."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import anylens
from anylens.anatomy.anatomy import Anatomy
from anylens.anatomy.rename import holder, rename
from tests.models import MODELS


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Pair(nn.Module):
    """Two towers, the first of two stages that differ in width."""

    def __init__(self):
        super().__init__()
        self.vision_tower = nn.Sequential(
            nn.Sequential(*(Block(6) for _ in range(2))),
            nn.Linear(6, 10),
            nn.Sequential(*(Block(10) for _ in range(2))),
        )
        self.text_tower = nn.Sequential(*(Block(8) for _ in range(3)))

    def forward(self, picture, text):
        return self.vision_tower(picture).sum(-1), self.text_tower(text).sum(-1)


@pytest.fixture(scope="module")
def pair() -> Anatomy:
    return anylens.attach(Pair(), {"picture": torch.randn(2, 7, 6), "text": torch.randn(2, 5, 8)}).anatomy


@pytest.fixture(scope="module")
def t5() -> Anatomy:
    return anylens.attach(*MODELS["t5"]()).anatomy


def test_a_component_gives_its_name_to_points_streams_and_reasons(t5):
    new = rename(t5, {"encoder": "reader", "decoder": "writer"})
    assert [stream.prefix for stream in new.streams] == ["reader", "writer"]
    names = {point.name for point in new.canonical}
    assert names == {
        point.name.replace("encoder.", "reader.").replace("decoder.", "writer.") for point in t5.canonical
    }
    assert [why for _, why in new.absent] == [why for _, why in t5.absent]
    assert not any(name.startswith(("encoder.blocks", "decoder.blocks")) for name, _ in new.absent)


def test_nothing_else_changes(t5):
    new = rename(t5, {"encoder": "reader"})
    assert [point.tap for point in new.canonical] == [point.tap for point in t5.canonical]
    same = {"streams": t5.streams, "canonical": t5.canonical, "absent": t5.absent}
    assert replace(new, **same) == t5


def test_stages_of_a_component_stay_apart(pair):
    assert len(pair.streams) == 3
    new = rename(pair, {"vision_tower": "vision", "text_tower": "text"})
    first, second, third = (stream.prefix for stream in new.streams)
    assert third == "text"
    assert first != second
    assert first.startswith("vision.")
    assert second.startswith("vision.")
    assert {holder(stream) for stream in new.streams} == {"vision_tower.0", "vision_tower.2", "text_tower"}


def test_the_longest_path_names_a_stream(pair):
    new = rename(pair, {"vision_tower": "vision", "vision_tower.0": "early", "text_tower": "text"})
    assert [stream.prefix for stream in new.streams] == ["early", "vision", "text"]


def test_a_path_that_only_begins_alike_is_another(pair):
    assert rename(pair, {"text": "t", "vision": "v"}) == pair


def test_one_name_for_two_components_changes_nothing(t5):
    assert rename(t5, {"encoder": "text", "decoder": "decoder"}) != t5
    assert len({stream.prefix for stream in rename(t5, {"encoder": "decoder"}).streams}) == 2


def test_one_stream_has_no_prefix():
    anatomy = anylens.attach(*MODELS["clip_vision"]()).anatomy
    assert rename(anatomy, {"vision_model": "vision"}) == anatomy
