"""A drawing of an anatomy shows every block once, and names that are points."""

import re
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import anylens
from anylens.report import drawing


def words(lens):
    root = ElementTree.fromstring(drawing(lens))  # well-formed
    return [element.text for element in root.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("name", ["shapes-vit", "vowels-whisper", "grammar-mamba"])
def test_what_is_named_is_a_point(name):
    lens = anylens.load(f"zoo:{name}")
    shown = {word for line in words(lens) for word in line.split() if re.fullmatch(r"(\w+\.)*hook_\w+", word)}
    known = set(lens.points)
    assert {"hook_resid_pre", "hook_resid_post"} < shown
    assert not [
        word for word in shown if not any(point.endswith(f".{word}") or point == word for point in known)
    ]


def test_blocks_that_are_alike_are_drawn_once():
    found = words(anylens.load("zoo:vowels-whisper"))
    assert [word for word in found if word.startswith("blocks.")] == [
        "blocks.0 ... blocks.2, alike",
        "blocks.0 ... blocks.1, alike",
    ]
    assert found.count("cross_attn") == 1


def test_a_model_without_a_stream_is_said_to_have_none():
    lens = anylens.attach(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), example=torch.zeros(2, 3))
    assert words(lens) == ["no residual stream found: native points only"]
