"""Scores of heads: against plain loops, on patterns that are known, and on models whose heads are known."""

import pytest
import torch

import anylens
from anylens.analysis.heads import head_scores, rollout, score_patterns, score_steps
from anylens.analysis.patterns import (
    background,
    diagonal,
    duplicate_token,
    entropy,
    induction,
    mass_on,
    mean_distance,
    previous_token,
)
from anylens.analysis.picture_heads import cells_of, column, local, row
from anylens.core.errors import AxisError, RunError, ShapeError
from anylens.zoo.feeding import Samples
from tests.analysis.planted import planted


def random_pattern(batch=2, heads=3, queries=6, keys=6, *, causal=True):
    scores = torch.randn(batch, heads, queries, keys)
    if causal:
        scores = scores.masked_fill(
            ~torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries), -torch.inf
        )
    return scores.softmax(-1)


def looped(pattern, wanted):
    """The mean, over queries that have a key to look at, of what goes to those keys."""
    batch, heads, queries, keys = pattern.shape
    found = torch.zeros(batch, heads)
    for b in range(batch):
        for h in range(heads):
            each = [
                sum(float(pattern[b, h, q, k]) for k in range(keys) if wanted(b, q, k))
                for q in range(queries)
                if any(wanted(b, q, k) for k in range(keys))
            ]
            found[b, h] = sum(each) / len(each)
    return found


def test_scores_by_token_are_those_of_a_plain_loop():
    pattern, tokens = random_pattern(), torch.randint(0, 3, (2, 6))
    scores = {
        previous_token(): lambda b, q, k: k == q - 1,
        duplicate_token(tokens): lambda b, q, k: k < q and tokens[b, k] == tokens[b, q],
        induction(tokens): lambda b, q, k: 0 < k <= q and tokens[b, k - 1] == tokens[b, q],
    }
    for score, wanted in scores.items():
        torch.testing.assert_close(score(pattern), looped(pattern, wanted))


def test_queries_of_a_cached_step_are_the_last_positions():
    whole, tokens = random_pattern(), torch.randint(0, 3, (2, 6))
    last = whole[:, :, -1:]
    torch.testing.assert_close(previous_token()(last), last[:, :, 0, 4])
    tokens[:, 2] = tokens[:, 5]  # so that there is something to find
    expected = looped(last, lambda b, q, k: 0 < k <= 5 and tokens[b, k - 1] == tokens[b, 5])
    torch.testing.assert_close(induction(tokens)(last), expected)
    torch.testing.assert_close(mean_distance()(last), (last[:, :, 0] * torch.arange(5, -1, -1.0)).sum(-1))


def test_scores_of_pictures_are_those_of_a_plain_loop():
    lens = anylens.load("zoo:shapes-vit")
    cells = cells_of(lens, "blocks.0.attn.hook_pattern", 65)
    assert cells[0].isnan().all()
    places = [None, *((n // 8, n % 8) for n in range(64))]
    pattern = random_pattern(1, 2, 65, 65, causal=False)

    def near(q, k):
        apart = [abs(a - b) for a, b in zip(places[q], places[k], strict=True)]
        return max(apart) == 1

    wanted = {
        local(cells): near,
        row(cells): lambda q, k: q != k and places[q][0] == places[k][0],
        column(cells): lambda q, k: q != k and places[q][1] == places[k][1],
    }
    for score, says in wanted.items():
        mask = torch.zeros(65, 65)
        mask[1:, 1:] = torch.tensor([[says(q, k) for k in range(1, 65)] for q in range(1, 65)]).float()
        torch.testing.assert_close(score(pattern), (pattern * mask).sum(-1)[:, :, 1:].mean(-1))
    far = torch.zeros(1, 1, 65, 65)
    far[..., 64] = 1
    expected = torch.tensor([(((7 - n // 8) ** 2 + (7 - n % 8) ** 2) ** 0.5) for n in range(64)]).mean()
    torch.testing.assert_close(mean_distance(cells)(far)[0, 0], expected)


def test_the_diagonal_is_told_from_what_is_none():
    steady = torch.zeros(1, 1, 5, 20)
    for query in range(5):
        steady[0, 0, query, 4 * query] = 1
    assert diagonal()(steady).item() == pytest.approx(1)
    assert diagonal()(steady.flip(-1)).item() == pytest.approx(-1)
    stuck = torch.zeros(1, 1, 5, 20)
    stuck[..., 3] = 1
    assert diagonal()(stuck).item() == 0
    assert diagonal()(torch.full((1, 1, 5, 20), 1 / 20)).item() == pytest.approx(0, abs=1e-6)
    blurred = 0.5 * steady + 0.5 / 20
    assert 0.3 < diagonal()(blurred).item() < 0.7


def test_entropy_of_one_key_is_none():
    assert entropy()(torch.eye(4).reshape(1, 1, 4, 4)).item() == 0


def test_the_planted_heads_are_found():
    made = planted()
    lens = anylens.attach(made.model, made.clean)
    found = {
        "previous": head_scores(lens, made.clean, previous_token()),
        "induction": head_scores(lens, made.clean, induction(made.clean)),
    }
    for name, (layer, head) in (
        ("previous", made.facts.previous_head),
        ("induction", made.facts.induction_head),
    ):
        point, strongest, score = found[name].strongest(1)[0]
        assert (point, strongest) == (f"blocks.{layer}.attn.hook_pattern", head)
        assert score > 0.5
        others = [one for one in found[name].strongest(6) if one[:2] != (point, head)]
        assert max(one[2] for one in others) < 0.5 * score


def test_chance_is_the_score_of_looking_everywhere():
    made = planted()
    lens = anylens.attach(made.model, made.clean)
    found = head_scores(lens, made.clean, previous_token(), points="blocks.0.attn.hook_pattern")
    chance = found.chance["blocks.0.attn.hook_pattern"]
    torch.testing.assert_close(chance, torch.full_like(chance, sum(1 / n for n in range(2, 13)) / 11))


def test_whispers_cross_attention_runs_along_the_sound():
    """It moves on with the vowels; with the moments of sound shuffled nothing does."""
    lens = anylens.load("zoo:vowels-whisper")
    sounds = Samples("vowels-whisper", 24, batch=24, split="held_out")[0]["input_features"]
    start = torch.full((24, 1), lens.model.config.decoder_start_token_id)
    written = lens.model.generate(sounds)
    tokens, writes_vowel = torch.cat([start, written[:, :-1]], 1), written < 5
    several = writes_vowel.sum(1) > 2
    points = "decoder.blocks.*.cross_attn.hook_pattern"
    inputs = {"input_features": sounds[several], "decoder_input_ids": tokens[several]}
    _, cache = lens.run_with_cache(inputs, points=points)
    along = diagonal(queries=writes_vowel[several])
    found = score_patterns(cache, along).stacked().mean(0)
    moments = torch.randperm(100)
    shuffled = {name: pattern[..., moments] for name, pattern in cache.items()}
    assert found[0].max() > 0.4
    assert score_patterns(shuffled, along).stacked().mean(0).abs().max() < 0.5 * found[0].max()
    assert found.min() > 0


def test_scores_by_step_are_those_of_each_step():
    lens = anylens.load("zoo:shapes-dit")
    point = "transformer.blocks.0.attn.hook_pattern"
    torch.manual_seed(0)
    _, steps = lens.record([0], points=point, num_inference_steps=3)
    found = score_steps(steps, entropy())
    assert found[point].shape[0] == len(steps) == 3
    for number, cache in enumerate(steps):
        p = cache[point]
        expected = -(p * p.clamp(min=1e-30).log()).sum(-1).mean(-1)
        torch.testing.assert_close(found[point][number], expected, atol=1e-5, rtol=1e-5)


def test_rollout_is_the_product_of_the_mixed_layers():
    first, second = random_pattern(1, 2, 4, 4), random_pattern(1, 2, 4, 4)
    eye = torch.eye(4)
    mixed = [(eye + pattern[0].mean(0)) / 2 for pattern in (first, second)]
    torch.testing.assert_close(rollout({"a": first, "b": second})[0], mixed[1] @ mixed[0])
    lens = anylens.load("zoo:shapes-vit")
    _, cache = lens.run_with_cache(torch.rand(1, 3, 32, 32), points="blocks.*.attn.hook_pattern")
    torch.testing.assert_close(rollout(cache).sum(-1), torch.ones(1, 65))


def test_what_is_looked_at_may_differ_by_row():
    pattern = random_pattern(2, 3, 6, 6, causal=False)
    mask = torch.tensor([[True] * 2 + [False] * 4, [False] * 5 + [True]])
    expected = torch.stack([pattern[0, :, :, :2].sum(-1).mean(-1), pattern[1, :, :, 5].mean(-1)])
    torch.testing.assert_close(background(mask)(pattern), expected)
    assert mass_on(torch.zeros(6, dtype=torch.bool))(pattern).abs().max() == 0


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ShapeError, match="needs as many tokens"):
        induction(torch.zeros(2, 5, dtype=torch.long))(random_pattern())
    with pytest.raises(AxisError, match="square"):
        rollout([random_pattern(queries=3)])
    with pytest.raises(RunError, match="no patterns"):
        rollout([])
    lens = anylens.load("zoo:grammar-gpt2")
    ids = lens.processor("the kings", return_tensors="pt").input_ids
    with pytest.raises(AxisError, match="has axes"):
        head_scores(lens, ids, entropy(), points="blocks.0.attn.hook_q")
    with pytest.raises(AxisError, match="picture"):
        cells_of(lens, "blocks.0.attn.hook_pattern", 7)
    uneven = score_patterns({"a": random_pattern(heads=2), "b": random_pattern(heads=3)}, entropy())
    with pytest.raises(AxisError, match="do not stack"):
        uneven.stacked()
