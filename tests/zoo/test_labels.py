"""Truth at positions: words of a text beside the sample are no patches and no frames."""

import pytest
import torch

from anylens.zoo.labels import labels_of
from anylens.zoo.worlds import shapes, vowels


@pytest.mark.parametrize("words", [15, 16, 65])
def test_words_of_a_caption_have_no_patch_however_many_they_are(words):
    batch = shapes.sample(2, seed=0)
    given = {"pixel_values": batch.pixel_values, "input_ids": torch.zeros(2, words, dtype=torch.int64)}
    assert all(name.startswith("the picture's") for name in labels_of("shapes", batch, given, (words,)))
    assert "shows" in labels_of("shapes", batch, given, (64,))


def test_tokens_of_a_transcript_have_no_moment():
    batch = vowels.sample(2, seed=0)
    given = {"decoder_input_ids": torch.zeros(2, 8, dtype=torch.int64)}
    assert labels_of("vowels", batch, given, (8,)) == {}
    assert "sounds" in labels_of("vowels", batch, given, (100,))
