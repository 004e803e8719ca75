"""The README is true: its code runs, and what it lists is there."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.pipelines import stable_diffusion

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_block_of_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
    given = {
        "my_model": nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval(),
        "my_input": torch.randn(1, 5, 16),
        **_models(),
    }
    for block in blocks:
        exec(compile(block, "README.md", "exec"), given)
    shares = given["grid"].recovered[0, :, 0]
    assert shares[0].abs() < 0.01  # what the text says: blue at first, red in the end
    assert shares[-1] > 0.5
    assert given["cache"]["blocks.3.hook_resid_post.sae.hook_acts"].shape == (1, 65, 320)
    assert given["steered"].images[0].tobytes() != given["without"].images[0].tobytes()
    plain = given["my_model"](given["my_input"])
    assert not torch.allclose(given["edited"], plain, atol=1e-3)
    moved = (given["after"] - given["before"]).norm(dim=-1)
    assert moved[:, :2].max() < 1e-5 < moved[:, 3:].min()
    assert given["steps"].stack(given["middle"]).shape[0] == 10
    assert given["without"].images[0].tobytes() != given["picture"].images[0].tobytes()


def _models():
    """What the blocks on steps speak of, tiny and random."""
    import transformers

    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    sizes = {
        "d_model": 24,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 40,
    }
    heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3, "vocab_size": 51}
    silent = {"suppress_tokens": [], "begin_suppress_tokens": []}
    whisper = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(**sizes, **heads, **ends, **silent)
    )
    mamba = transformers.MambaForCausalLM(
        transformers.MambaConfig(vocab_size=50, hidden_size=16, state_size=4, num_hidden_layers=2)
    )
    pipe = stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    return {
        "whisper": whisper.eval(),
        "audio": {"input_features": torch.randn(1, 80, 3000)},
        "pipe": pipe,
        "mamba": mamba.eval(),
        "ids": torch.tensor([[3, 4, 5, 6, 7]]),
    }


def test_what_is_listed_is_there():
    paths = re.findall(r"^\| `([\w./-]+)` \|", README.partition("## What is where")[2], re.MULTILINE)
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_folder_of_the_package_is_listed():
    folders = {f"src/anylens/{item.parent.name}/" for item in (ROOT / "src/anylens").glob("*/__init__.py")}
    assert not [folder for folder in folders if f"`{folder}`" not in README]


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link.partition("#")[0]).is_file()


def test_the_picture_is_small():
    assert (ROOT / "docs/images/demo.png").stat().st_size < 300_000


def test_commands_of_the_first_screen_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
