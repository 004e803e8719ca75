"""From a name to a lens: folders, the hub, GGUF, the zoo, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

import anylens
from anylens.core.errors import LoadError, MissingExtraError, ZooError
from anylens.loading import find
from tests.models import MODELS

WORDS = ["[UNK]", "red", "circle", "blue", "square", "on", "green", "a"]


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")


@pytest.fixture
def gpt2(tmp_path) -> Path:
    """A folder with a small GPT-2 and a tokenizer."""
    MODELS["gpt2"]()[0].save_pretrained(tmp_path / "gpt2")
    tokenizer().save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5", "vit", "resnet"])
def test_a_folder_loads_in_the_class_it_was_saved_from(name, tmp_path):
    model, example = MODELS[name]()
    model.save_pretrained(tmp_path)
    lens = anylens.load(tmp_path)
    assert type(lens.model) is type(model)
    assert not lens.model.training
    assert torch.equal(lens.model(**example).logits, model(**example).logits)
    assert lens.anatomy.streams
    assert lens.processor is None


def test_text_goes_from_processor_to_points(gpt2):
    lens = anylens.load(str(gpt2))
    inputs = lens.processor("a red circle on a square", return_tensors="pt")
    _, cache = lens.run_with_cache(input_ids=inputs["input_ids"], points="blocks.1.hook_resid_post")
    assert cache["blocks.1.hook_resid_post"].shape == (1, 6, 24)
    assert lens.processor.decode(inputs["input_ids"][0]) == "a red circle on a square"


def test_pictures_go_from_processor_to_points(tmp_path):
    from PIL import Image

    MODELS["vit"]()[0].save_pretrained(tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    lens = anylens.load(tmp_path)
    inputs = lens.processor(Image.new("RGB", (40, 30), "red"), return_tensors="pt")
    _, cache = lens.run_with_cache(dict(inputs), points="blocks.0.attn.hook_pattern")
    assert cache["blocks.0.attn.hook_pattern"].shape == (1, 3, 17, 17)


def test_a_config_without_a_class_loads_by_task(gpt2):
    config = json.loads((gpt2 / "config.json").read_text())
    del config["architectures"]
    (gpt2 / "config.json").write_text(json.dumps(config))
    assert type(anylens.load(gpt2).model).__name__ == "GPT2LMHeadModel"


def test_options_reach_transformers(gpt2):
    lens = anylens.load(gpt2, dtype=torch.float64, attn_implementation="eager")
    assert lens.model.dtype == torch.float64
    assert lens.model.config._attn_implementation == "eager"


def test_missing_weights_are_told(gpt2):
    lacking = transformers.GPT2LMHeadModel.from_pretrained(gpt2).state_dict()
    lacking = {
        name: weight for name, weight in lacking.items() if "ln_f" not in name and "lm_head" not in name
    }
    save_file(lacking, gpt2 / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(UserWarning, match=r"2 weights.*random.*ln_f"):
        anylens.load(gpt2)


@pytest.mark.parametrize("option", ["trust_remote_code", "use_safetensors"])
def test_safety_is_no_option(gpt2, option):
    with pytest.raises(LoadError, match=option):
        anylens.load(gpt2, **{option: True})


def test_code_of_a_model_is_not_run(gpt2):
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}, "architectures": ["Own"]}
    (gpt2 / "config.json").write_text(json.dumps(config))
    (gpt2 / "own.py").write_text("raise SystemExit('the code was run')")
    with pytest.raises(LoadError, match="could not be loaded"):
        anylens.load(gpt2)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "looked for config.json, *.gguf and model_index.json, found nothing"),
        ({"notes.txt": ""}, "found notes.txt"),
        (
            {"config.json": "{}", "pytorch_model.bin": ""},
            "looked for *.safetensors, found config.json, pytorch_model.bin",
        ),
        ({"model_index.json": "{}"}, "diffusers pipeline"),
        ({"a.gguf": "", "b.gguf": ""}, "2 GGUF files: a.gguf, b.gguf. Pass gguf_file=NAME"),
        ({"config.json": "{", "model.safetensors": ""}, "could not be loaded"),
        ({"config.json": '{"model_type": "gpt2"}', "model.safetensors": "damaged"}, "could not be loaded"),
    ],
)
def test_a_folder_without_a_model_says_what_was_looked_for(files, said, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(LoadError) as raised:
        anylens.load(tmp_path)
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_place_that_is_not_there_is_no_hub_id(tmp_path):
    for name in (tmp_path / "nothing", str(tmp_path / "nothing"), "one/two/three", "./here"):
        with pytest.raises(LoadError, match="no folder"):
            anylens.load(name)
    with pytest.raises(LoadError, match="is a file"):
        anylens.load(__file__)


def test_what_is_no_name_is_told_plainly():
    with pytest.raises(LoadError, match="was given NoneType"):
        anylens.load(None)


def test_a_hub_id_offline_is_told_plainly():
    with pytest.raises(LoadError, match=r"not in the local cache, and the hub is switched off"):
        anylens.load("nobody/nothing")


@pytest.mark.wide
def test_a_hub_that_cannot_be_reached_is_told_plainly():
    script = (
        "import os; os.environ.update(HF_HUB_OFFLINE='0', HF_ENDPOINT='http://127.0.0.1:9')\n"
        "import anylens\n"
        "try: anylens.load('nobody/nothing')\n"
        "except anylens.core.errors.LoadError as error: print('told:', error)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "told: The hub could not be reached for 'nobody/nothing'" in done.stdout


def test_without_transformers_the_extra_is_named(gpt2, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r'pip install "anylens\[transformers\]"'):
        anylens.load(gpt2)


def test_without_gguf_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r'pip install "anylens\[gguf\]"'):
        anylens.load(tmp_path)


def test_a_gguf_file_may_be_named_itself(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    assert find(tmp_path / "b.gguf") == find(tmp_path, gguf="b.gguf")
    assert find(tmp_path / "b.gguf").gguf == "b.gguf"
    with pytest.raises(LoadError, match=r"holds no c.gguf.*a.gguf, b.gguf"):
        find(tmp_path, gguf="c.gguf")


def test_the_zoo_answers_for_its_own_names():
    with pytest.raises(ZooError, match="no model called 'nope'"):
        anylens.load("zoo:nope")
    with pytest.raises(LoadError, match="no options"):
        anylens.load("zoo:shapes-vit", dtype=torch.float64)


def test_a_model_of_the_zoo_comes_with_its_processor_and_layout():
    lens = anylens.load("zoo:shapes-vit")
    assert lens.family.name == "vision transformer"
    assert lens.processor is not None
    positions = lens.points["blocks.0.hook_resid_pre"].shape[1]
    assert lens.layout.where((positions - 1,), (positions,)).box[2:] == (1, 1)


def test_a_family_can_be_named(gpt2):
    assert anylens.load(gpt2, family="text").family.name == "text"
