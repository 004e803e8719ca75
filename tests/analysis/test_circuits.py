"""Circuits of the planted transformer, where every map is known, and identities against plain matrices."""

import math

import pytest
import torch

import anylens
from anylens.analysis.circuits import Factored, composition_scores, copying, ov_circuit, qk_circuit
from anylens.analysis.weights import attention_maps
from anylens.core.errors import ShapeError
from tests.analysis.planted import ANSWER, BEFORE, TOKEN, VOCAB, planted
from tests.models import common

SHIFT = 3


@pytest.fixture(scope="module")
def made():
    found = planted(shift=SHIFT)
    lens = anylens.attach(found.model, found.clean)
    return found, [attention_maps(lens, f"blocks.{layer}.attn", found.clean) for layer in (0, 1)]


def test_the_ov_circuit_of_the_induction_head_is_the_token_map(made):
    found, maps = made
    layer, head = found.facts.induction_head
    moved = ov_circuit(maps[layer], head).dense()[TOKEN, ANSWER]
    assert tuple(moved.argmax(1).tolist()) == found.facts.token_map
    torch.testing.assert_close(moved.max(1).values, torch.full((VOCAB,), found.facts.gain))


def test_the_qk_circuit_of_the_induction_head_matches_tokens_with_copies(made):
    found, maps = made
    layer, head = found.facts.induction_head
    score = qk_circuit(maps[layer], head).dense()[TOKEN, BEFORE]
    torch.testing.assert_close(score, found.facts.sharpness * torch.eye(VOCAB))


def test_keys_of_the_induction_head_read_the_previous_token_head(made):
    found, maps = made
    scores = {by: composition_scores(*maps, by) for by in ("q", "k", "v")}
    pair = (found.facts.previous_head[1], found.facts.induction_head[1])
    assert (scores["k"] == scores["k"].max()).nonzero().tolist() == [list(pair)]
    assert float(scores["k"][pair]) > 1.4 * float(scores["k"].flatten().topk(2).values[1])
    assert float(scores["k"][pair]) > 20 * max(float(scores[by][pair]) for by in ("q", "v"))


def test_scores_are_those_of_the_dense_matrices(made):
    _, maps = made
    scores = {by: composition_scores(*maps, by) for by in ("q", "k", "v")}
    for first in range(3):
        writes = maps[0].v[first] @ maps[0].o[first]
        for second in range(3):
            seeks = maps[1].q[second] @ maps[1].k[second].T
            moves = maps[1].v[second] @ maps[1].o[second]
            for by, reads in (("q", seeks), ("k", seeks.T), ("v", moves)):
                expected = (writes @ reads).norm() / (writes.norm() * reads.norm())
                torch.testing.assert_close(scores[by][first, second], expected, atol=1e-5, rtol=1e-4)


def test_a_head_that_copies_has_positive_eigenvalues():
    circuit = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
    assert copying(Factored(torch.eye(3), circuit)) == pytest.approx(1)
    assert copying(Factored(torch.eye(3), -circuit)) == pytest.approx(-1)
    turned = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert copying(Factored(torch.eye(2), turned)) == pytest.approx(0)


def test_factors_say_what_the_whole_matrix_would():
    left, right, other = torch.randn(9, 4), torch.randn(4, 9), torch.randn(9, 2)
    circuit = Factored(left, right)
    dense = left @ right
    torch.testing.assert_close(circuit.norm(), dense.norm())
    torch.testing.assert_close((circuit @ Factored(other, other.T)).dense(), dense @ other @ other.T)
    torch.testing.assert_close(circuit.T.dense(), dense.T)
    u, values, v = circuit.svd()
    torch.testing.assert_close((u * values) @ v, dense)
    expected = torch.linalg.eigvals(dense.double())
    largest = expected[expected.abs().argsort(descending=True)][:4]
    torch.testing.assert_close(circuit.eigenvalues().abs(), largest.abs(), atol=0, rtol=1e-5)
    torch.testing.assert_close(circuit.eigenvalues().sum().real, dense.double().trace(), atol=1e-5, rtol=1e-5)
    with pytest.raises(ShapeError, match="do not multiply"):
        circuit @ Factored(torch.randn(3, 2), torch.randn(2, 3))


def test_scores_of_attention_come_out_of_the_qk_circuit():
    model, inputs = common.opt()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj.bias" in name:
                parameter.zero_()
    lens = anylens.attach(model, inputs)
    maps = attention_maps(lens, "blocks.0.attn", inputs)
    points = ["blocks.0.ln1.hook_normalized", "blocks.0.attn.hook_attn_scores"]
    _, cache = lens.run_with_cache(**inputs, points=points)
    x = cache[points[0]]
    seen = torch.ones(7, 7, dtype=torch.bool).tril()
    for head in range(3):
        scores = x @ qk_circuit(maps, head).dense() @ x.transpose(1, 2)
        torch.testing.assert_close(scores[:, seen], cache[points[1]][:, head][:, seen], atol=1e-5, rtol=1e-3)
    assert math.isclose(maps.q.factor, 8**-0.5, rel_tol=1e-6)


def test_heads_of_different_streams_do_not_compose(made):
    _, maps = made
    model, inputs = common.gpt2()
    others = attention_maps(anylens.attach(model, inputs), "blocks.0.attn", inputs)
    with pytest.raises(ShapeError, match="different streams"):
        composition_scores(maps[0], others, "k")
