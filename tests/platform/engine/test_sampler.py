import pytest
import torch

from tallystick_platform.engine.sampler import TOP_P_CANDIDATES, NotFinite, Sampler

LOGITS = torch.tensor([1.0, 3.0, 2.0, -1.0])


def sampler(**changes):
    return Sampler(**{"temperature": 1.0, "top_p": 1.0, "top_k": 0, "seed": 7, **changes})


def draws(it, logits=LOGITS, count=400):
    return [it.draw(logits) for _ in range(count)]


def test_temperature_zero_takes_the_most_likely_token():
    assert draws(sampler(temperature=0.0), count=3) == [1, 1, 1]


def test_the_same_seed_draws_the_same_tokens():
    assert draws(sampler()) == draws(sampler())


def test_another_seed_draws_other_tokens():
    assert draws(sampler()) != draws(sampler(seed=8))


def test_a_neighbours_draws_change_nothing():
    alone = draws(sampler(), count=20)
    it, other = sampler(), sampler(seed=99)
    beside = []
    for _ in range(20):
        other.draw(LOGITS)
        beside.append(it.draw(LOGITS))
    assert beside == alone


def test_draws_follow_the_distribution():
    counts = torch.bincount(torch.tensor(draws(sampler(), count=4_000)), minlength=4) / 4_000
    assert torch.allclose(counts, LOGITS.softmax(0), atol=0.03)


def test_top_k_leaves_the_k_most_likely():
    assert set(draws(sampler(top_k=2))) == {1, 2}


def test_top_k_beyond_the_vocabulary_leaves_everything():
    assert draws(sampler(top_k=10)) == draws(sampler())


def test_top_p_leaves_the_shortest_prefix_that_reaches_it():
    weights = LOGITS.softmax(0)
    assert set(draws(sampler(top_p=float(weights[1]) - 0.01))) == {1}
    assert set(draws(sampler(top_p=float(weights[1]) + 0.01))) == {1, 2}


def test_top_p_zero_leaves_one_token():
    assert set(draws(sampler(top_p=0.0))) == {1}


def test_a_nucleus_wider_than_the_candidates_is_whole():
    flat = torch.zeros(TOP_P_CANDIDATES * 2)
    assert max(draws(sampler(top_p=0.9), logits=flat, count=200)) >= TOP_P_CANDIDATES


def test_top_k_and_top_p_hold_together():
    assert set(draws(sampler(top_k=3, top_p=0.5))) == {1}


def test_a_tiny_temperature_is_greedy_and_does_not_overflow():
    assert set(draws(sampler(temperature=1e-30), count=5)) == {1}


def test_any_64_bit_seed_is_taken():
    for seed in (0, -1, 2**64 - 1, 2**63):
        sampler(seed=seed).draw(LOGITS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_numbers_are_refused(value):
    with pytest.raises(NotFinite):
        sampler().draw(torch.full((4,), value))


@pytest.mark.parametrize(
    ("changes", "drawn"),
    [
        ({"temperature": 1.0}, [6, 4, 5, 3, 36, 31, 59, 59, 2, 7, 7, 25]),
        ({"temperature": 0.7, "top_p": 0.9}, [14, 7, 43, 32, 48, 59, 52, 24, 46, 47, 22, 1]),
        ({"temperature": 1.3, "top_p": 0.95, "top_k": 20}, [14, 7, 43, 32, 15, 60, 1, 8, 27, 47, 17, 49]),
        ({"temperature": 0.0}, [14, 7, 62, 32, 60, 50, 51, 16, 46, 30, 48, 25]),
    ],
)
def test_a_seed_draws_what_it_drew_when_records_were_first_made_with_this_version(changes, drawn):
    it = sampler(seed=42, **changes)
    assert [it.draw(torch.arange(64).mul(0.11 * at).sin().mul(3)) for at in range(1, 13)] == drawn
