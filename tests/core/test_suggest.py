from anylens.core.suggest import nearest

POINTS = [
    "blocks.0.hook_resid_pre",
    "blocks.0.attn.hook_pattern",
    "blocks.1.attn.hook_pattern",
    "ln_final.hook_out",
]


def test_the_closest_spelling_comes_first():
    assert nearest("blocks.1.attn.hook_patern", POINTS)[0] == "blocks.1.attn.hook_pattern"


def test_a_part_of_a_name_finds_the_whole():
    assert nearest("HOOK_pattern", POINTS)[:2] == ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"]


def test_a_missing_layer_finds_its_neighbours():
    layers = [f"blocks.{i}.hook_resid_post" for i in range(12)]
    assert nearest("blocks.12.hook_resid_post", layers)[0] in {
        "blocks.1.hook_resid_post",
        "blocks.2.hook_resid_post",
    }


def test_at_most_n_and_none_twice():
    names = nearest("hook", POINTS, n=2)
    assert len(names) == len(set(names)) == 2


def test_nothing_close_gives_nothing():
    assert nearest("zzzz", POINTS) == []
    assert nearest("", POINTS) == []
    assert nearest("hook", []) == []
