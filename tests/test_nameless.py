"""No architecture's name below the lens: structure comes from behaviour, names from families."""

import re
from pathlib import Path

import pytest

import anylens

ROOT = Path(anylens.__file__).parent
NAMELESS = ("core", "anatomy", "running")
ALLOWED = re.compile("TransformerLens")  # a source of names, credited where they are defined
# Digits and underscores end a name, letters do not. `clip(` is the tensor operation.
NAME = re.compile(
    r"(?<![a-z])(?:whisper|mamba|gpt2|gpt_2|llama|bert|bloom|vit|resnet|unet|musicgen|swin|clip(?!\()|gemma|albert"
    r"|mixtral|beit|convnext|dinov2|diffusers|transformers)(?![a-z])",
    re.IGNORECASE,
)


def names_in(text: str) -> list[tuple[int, str]]:
    """Line numbers and names of the architectures that a text mentions."""
    lines = enumerate(text.splitlines(), start=1)
    return [(number, name) for number, line in lines for name in NAME.findall(ALLOWED.sub("", line))]


@pytest.mark.parametrize("part", NAMELESS)
def test_no_architecture_is_named(part):
    files = sorted((ROOT / part).rglob("*.py"))
    found = [
        f"{file}:{number}: {name}" for file in files for number, name in names_in(file.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["if model_type == 'gpt2':", "BERT_KEYS", "import transformers.models", "CLIP"]
)
def test_names_are_found(text):
    assert names_in(text)


@pytest.mark.parametrize("text", ["TransformerLens's names", "x.clip(min=0)", "activity", "transformer"])
def test_ordinary_words_pass(text):
    assert not names_in(text)
