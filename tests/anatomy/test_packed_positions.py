"""A flat stream `[position, feature]`, as vision towers have it that pack all pictures into one sequence."""

import torch
from torch import nn
from torch.nn import functional

import anylens
from anylens.conformance import check


class Block(nn.Module):
    """Attention and an MLP on `[position, feature]`; with `alone`, every row attends to itself."""

    def __init__(self, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.ln1, self.ln2 = nn.LayerNorm(12), nn.LayerNorm(12)
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.mlp = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = (
            self.qkv(self.ln1(x)).reshape(len(x), 3, 3, 4).permute(1, 2, 0, 3)
        )  # of q k v: head, row, feature
        q, k, v = (part.transpose(0, 1).unsqueeze(2) if self.alone else part.unsqueeze(0) for part in parts)
        z = functional.scaled_dot_product_attention(q, k, v)
        z = z.squeeze(2) if self.alone else z.squeeze(0).transpose(0, 1)
        x = x + self.proj(z.reshape(len(x), 12))
        return x + self.mlp(self.ln2(x))


def tower(*, alone: bool) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 12), *(Block(alone) for _ in range(2)), nn.LayerNorm(12)).eval()


def test_rows_that_attend_to_each_other_are_positions():
    model, x = tower(alone=False), torch.randn(7, 5)
    lens = anylens.attach(model, x)
    assert lens.points["blocks.0.hook_resid_pre"].axes == ("pos", "d_model")
    assert lens.points["blocks.1.mlp.hook_pre"].axes == ("pos", "d_mlp")
    report = check(lens, x)
    assert report.ok, report.table()


def test_rows_that_do_not_are_a_batch():
    lens = anylens.attach(tower(alone=True), torch.randn(7, 5))
    assert lens.points["blocks.0.hook_resid_pre"].axes == ("batch", "d_model")
