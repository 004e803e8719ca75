"""The tokenizer of captions makes one token of each word, the same each time."""

from anylens.zoo.train.captions import LONGEST, caption_tokenizer, encode
from anylens.zoo.worlds.shapes import sample

CAPTIONS = sample(200, seed=0).captions


def test_every_word_is_one_token():
    tokenizer = caption_tokenizer()
    for caption in CAPTIONS:
        words = caption.replace(",", " ,").split()
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(caption)["input_ids"])[1:-1]
        assert tokens == [f"{word}</w>" for word in words]


def test_captions_fill_the_places_that_there_are():
    encoded = encode(caption_tokenizer(), CAPTIONS)
    assert encoded["input_ids"].shape == (200, LONGEST)
    assert encoded["attention_mask"].sum(1).max() == LONGEST


def test_it_is_the_same_each_time_and_after_it_was_stored(tmp_path):
    first = caption_tokenizer()
    assert first.get_vocab() == caption_tokenizer().get_vocab()
    first.save_pretrained(tmp_path)
    again = type(first).from_pretrained(tmp_path)
    assert again(CAPTIONS)["input_ids"] == first(CAPTIONS)["input_ids"]
