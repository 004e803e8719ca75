"""Names, globs, and what is said when there is no such point."""

import pytest

import anylens
from anylens.anatomy.canonical import TABLE
from anylens.core.errors import AbsentPointError, PointError, UnknownPointError
from tests import models


@pytest.fixture(scope="module")
def gpt2():
    model, example = models.gpt2()
    return anylens.attach(model, example)


def test_exact_and_glob(gpt2):
    assert [p.name for p in gpt2.points.find("blocks.1.hook_mlp_out")] == ["blocks.1.hook_mlp_out"]
    found = [p.name for p in gpt2.points.find("blocks.*.hook_resid_post")]
    assert found == ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    assert len(gpt2.points.find("*.attn.hook_?")) == 8


def test_brackets_are_themselves(gpt2):
    assert [p.name for p in gpt2.points.find("transformer.h.*.hook_in[position_ids]")] == [
        f"transformer.h.{i}{part}.hook_in[position_ids]" for i in (0, 1) for part in ("", ".attn")
    ]


def test_every_operation_is_reachable(gpt2):
    names = [p.name for p in gpt2.points.find("transformer.h.0.attn.op.*.hook_out")]
    assert "transformer.h.0.attn.op.scaled_dot_product_attention.0.hook_out" in names


def test_a_typo_lists_the_nearest_names(gpt2):
    with pytest.raises(UnknownPointError, match=r"blocks\.0\.hook_resid_post") as caught:
        gpt2.points["blocks.0.hook_resd_post"]
    assert caught.value.nearest
    with pytest.raises(UnknownPointError, match="No point is named 'blocks.*.hook_nothing'"):
        gpt2.points.find("blocks.*.hook_nothing")


def test_a_block_that_there_is_not(gpt2):
    with pytest.raises(UnknownPointError):
        gpt2.points["blocks.7.hook_resid_post"]


@pytest.mark.parametrize(
    ("model", "name", "why"),
    [
        ("gptj", "blocks.0.hook_resid_mid", "parallel"),
        ("gptj", "blocks.*.hook_resid_mid", "parallel"),
        ("gpt2", "blocks.0.mlp.hook_pre_linear", "no gate"),
        ("gpt2", "blocks.0.cross_attn.hook_q", "no cross-attention"),
        ("convnext", "stages.0.blocks.0.attn.hook_pattern", "no attention"),
        ("mixtral", "blocks.0.mlp.hook_post", "mixed from several maps"),
        ("bert", "ln_final.hook_normalized", "no norm follows"),
        ("llama", "blocks.0.hook_normalized_resid_post", "do not normalise the stream"),
    ],
)
def test_a_canonical_point_that_is_absent_says_why(model, name, why):
    made, example = models.MODELS[model]()
    with pytest.raises(AbsentPointError, match=why):
        anylens.attach(made, example).points.find(name)


def test_the_table_shows_in_terminal_and_notebook(gpt2):
    text, page = repr(gpt2.points), gpt2.points._repr_html_()
    assert "blocks.{0..1}.hook_resid_post" in text
    assert "batch pos head d_head" in text
    assert "<table>" in page
    assert "blocks.{0..1}.hook_resid_post" in page


def test_every_row_of_the_table_says_what_it_is():
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(row.axes and row.meaning and row.lacking and row.source for row in TABLE)


def test_points_are_asked_for_by_name_or_as_they_are(gpt2):
    points, name = gpt2.points, "blocks.1.hook_resid_post"
    assert points.select(points[name]) == points.select([points[name], name])
    for wrong in (None, 3, [3], [None]):
        with pytest.raises(PointError, match="a name, a glob or several"):
            points.select(wrong)
