"""Attention within windows: what is folded into the batch is told from it, where the model shows how."""

import torch
from torch import nn

import anylens


class Windowed(nn.Module):
    """Attention within windows of three positions; `first` says whether the windows of a row stand together."""

    def __init__(self, *, rows_first=True):
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.rows_first = rows_first

    def forward(self, x):
        batch, positions, width = x.shape
        cut = x.unflatten(1, (positions // 3, 3))
        cut = cut if self.rows_first else cut.transpose(0, 1)
        cut = cut.reshape(-1, 3, width)
        q, k, v = (one(cut).unflatten(-1, (2, 4)).transpose(1, 2) for one in self.maps[:3])
        z = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)
        z = self.maps[3](z).reshape(-1, batch, 3, width) if not self.rows_first else self.maps[3](z)
        z = z.transpose(0, 1) if not self.rows_first else z
        return x + z.reshape(x.shape)


def lens_on(**settings):
    model = nn.Sequential(Windowed(**settings), Windowed(**settings)).eval()
    return anylens.attach(model, torch.randn(2, 15, 8))


def test_windows_of_a_row_are_an_axis_beside_the_batch():
    points = lens_on().points
    assert points["blocks.1.attn.hook_q"].axes == ("batch", "window", "pos", "head", "d_head")
    assert points["blocks.1.attn.hook_q"].shape == (2, 5, 3, 2, 4)
    assert points["blocks.1.attn.hook_pattern"].axes == ("batch", "window", "head", "query_pos", "key_pos")
    assert points["blocks.1.attn.hook_result"].shape == (2, 5, 3, 2, 8)


def test_batch_and_windows_are_those_of_the_run():
    lens = lens_on()
    x = torch.randn(3, 12, 8)
    _, cache = lens.run_with_cache(x, points=["blocks.0.attn.hook_*"])
    q = lens.model[0].maps[0](x).view(3, 4, 3, 2, 4)
    assert torch.allclose(cache["blocks.0.attn.hook_q"], q, atol=1e-6)
    assert cache["blocks.0.attn.hook_pattern"].shape == (3, 4, 2, 3, 3)
    assert cache["blocks.0.attn.hook_result"].shape == (3, 4, 3, 2, 8)


def test_an_edit_in_one_window_of_one_row_stays_there():
    lens = lens_on()
    x = torch.randn(3, 12, 8)
    for name in ("hook_z", "hook_result"):
        hooks = {f"blocks.0.attn.{name}": anylens.scale(0).on(batch=1, window=2)}
        with lens.hooks(hooks):
            _, cache = lens.run_with_cache(x, points="blocks.0.hook_resid_post")
        _, before = lens.run_with_cache(x, points="blocks.0.hook_resid_post")
        (key,) = cache
        moved = ((cache[key] - before[key]).abs() > 1e-4).any(-1).nonzero().tolist()
        assert moved == [[1, 6], [1, 7], [1, 8]]


def test_windows_that_stand_before_the_rows_are_not_split():
    points = lens_on(rows_first=False).points
    assert points["blocks.1.attn.hook_q"].axes == ("batch_window", "pos", "head", "d_head")
    assert points["blocks.1.attn.hook_pattern"].axes == ("batch_window", "head", "query_pos", "key_pos")
