"""Every check holds on a tiny model of every class that the rows of families name.

Few points are edited one by one here; `make check-models` edits more, and writes down what it found. Further variants
of a class that is there already are left to `make wide`.
"""

import pytest
import torch

import anylens
from anylens.conformance import CHECKS, Sampling, check
from tests.models import ROWS

pytestmark = pytest.mark.filterwarnings("ignore")

FEW = Sampling(native=4, ops=4, alone=6, blocks=1)
NAMED = {f"{row}:{name}": make for row, makers in ROWS.items() for name, make in makers.items()}
VARIANTS = """
    music:musicgen_from_sound speech:whisper_audio_classification speech:wav2vec2_stable vision:resnet_bottleneck
    vision:dinov2_with_registers vision:swin_v2 vision:vit vision:dinov2 vision:resnet vision:convnext vision:swin
    beyond:videomae_pretraining beyond:gru flow:realnvp_pictures mixture_of_experts:qwen3_moe mixture_of_experts:mixtral
    diffusion:unet
""".split()  # the plain ones among these are in tests/conformance/test_models.py


@pytest.fixture(autouse=True)
def _one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYLENS_CACHE", str(tmp_path))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.wide if name in VARIANTS else ()) for name in NAMED]
)
def test_every_check_holds(name):
    model, example = NAMED[name]()
    report = check(anylens.attach(model, example), example, sampling=FEW).require()
    assert len(report.outcomes) == len(CHECKS)
    assert report["values"].count
    assert report["hygiene"].count
