"""The ring of episodes against a queue, its memory, and the moments drawn from it."""

from __future__ import annotations

import re
from collections import deque
from itertools import chain

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from hem.errors import UserError
from hem.replay import buffer as ring
from hem.types import Box

BATCH = 3
add = jax.jit(ring.add)


def oldest_first(replay: ring.Replay) -> list:
    """The stored episodes, each as one tree of rows."""
    capacity, size = len(replay.data.length), int(replay.size)
    slots = [(int(replay.head) - size + i) % capacity for i in range(size)]
    data = jax.tree.map(np.asarray, replay.data)
    return [jax.tree.map(lambda x, slot=slot: x[slot], data) for slot in slots]


def tagged(make, rng, task, tags: list[int]):
    """Episodes that are told apart by the first number of their observations."""
    episodes = make(rng, task, [1 + tag % 5 for tag in tags])
    obs = np.ones_like(episodes.obs) * np.reshape(np.float32(tags), (-1, 1, 1))
    return episodes._replace(obs=obs)


def keeping(make, rng, task, capacity: int, kept: list[int]) -> ring.Replay:
    """A ring whose first slots are kept."""
    replay = ring.init(task, capacity, keeps=True)
    return ring.keep_all(ring.add(replay, tagged(make, rng, task, kept)) if kept else replay)


@given(
    capacity=st.sampled_from([BATCH, BATCH + 1, 2 * BATCH + 1]),
    batches=st.lists(st.lists(st.integers(0, 5), min_size=BATCH, max_size=BATCH), max_size=8),
    seed=st.integers(0, 99),
)
def test_ring_is_a_bounded_queue_of_the_episodes_that_have_a_step(
    task, random_episodes, capacity, batches, seed
):
    rng = np.random.default_rng(seed)
    replay, queue = ring.init(task, capacity), deque(maxlen=capacity)
    for lengths in batches:
        episodes = random_episodes(rng, task, lengths)
        replay = add(replay, episodes)
        queue.extend(
            jax.tree.map(lambda x, row=row: x[row], episodes)
            for row, steps in enumerate(lengths)
            if steps > 0
        )
        assert int(replay.size) == len(queue)
        jax.tree.map(np.testing.assert_array_equal, oldest_first(replay), list(queue))


@pytest.mark.parametrize(("kept", "rest"), [(0, 4), (1, BATCH), (3, 5)])
def test_what_is_kept_is_never_overwritten_and_the_rest_is_a_queue(
    task, random_episodes, kept, rest
):
    rng, first = np.random.default_rng(0), list(range(kept))
    replay, queue = keeping(random_episodes, rng, task, kept + rest, first), deque(maxlen=rest)
    for batch in range(5):
        tags = [100 + BATCH * batch + i for i in range(BATCH)]
        replay = add(replay, tagged(random_episodes, rng, task, tags))
        queue.extend(tags)
        found = np.asarray(replay.data.obs)[:, 0, 0].astype(int)
        assert found[:kept].tolist() == first
        assert sorted(found[kept : int(replay.size)]) == list(queue)
        assert found[ring.latest(replay, BATCH)].tolist() == tags[::-1]
        assert ring.is_whole(replay)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_dealt_shares_keep_what_was_kept_and_the_rest_in_its_order(task, random_episodes, count):
    rng, replays = np.random.default_rng(0), []
    for number in range(2):
        kept = [10 * number + i for i in range(3 - number)]
        replay = keeping(random_episodes, rng, task, 8, kept)
        for batch in range(3):  # the ring has gone round
            tags = [100 * (1 + BATCH * batch + i) + number for i in range(BATCH)]
            replay = add(replay, tagged(random_episodes, rng, task, tags))
        replays.append(replay)
    shares = ring.dealt(replays, count, 16 // count)
    kept, rest = [], []
    for share in shares:
        tags, first = share.data.obs[: int(share.size), 0, 0].astype(int).tolist(), int(share.kept)
        kept += tags[:first]
        ages = [tag // 100 for tag in tags[first:]]
        assert ages == sorted(ages)
        assert len(ages) >= 2
        rest += tags[first:]
        more = tagged(random_episodes, rng, task, [9000])
        after = np.asarray(add(share, more).data.obs)[:, 0, 0].astype(int).tolist()
        assert after[:first] == tags[:first]
        assert 9000 in after
    assert sorted(kept) == [0, 1, 2, 10, 11]
    whole = {100 * age + n for n, own in ((0, 5), (1, 6)) for age in range(10 - own, 10)}
    assert set(rest) <= whole
    assert len(rest) >= len(whole) - count


def test_a_full_ring_is_filled_from_its_start(task, random_episodes):
    replay = ring.init(task, 4)
    for lengths in ([1, 2, 3], [4, 5, 1]):
        replay = add(replay, random_episodes(np.random.default_rng(0), task, lengths))
    np.testing.assert_array_equal(replay.data.length, [5, 1, 3, 4])
    assert int(replay.head) == 2


def test_the_latest_episodes_come_first_and_what_is_empty_last(task, random_episodes):
    rng, replay = np.random.default_rng(0), ring.init(task, 4)
    assert not replay.data.length[ring.latest(replay, 4)].any()
    for added, known in (
        (1, [1]),
        (2, [2, 1]),
        (3, [3, 2, 1]),
        (4, [4, 3, 2, 1]),
        (5, [5, 4, 3, 2]),
    ):
        replay = add(replay, random_episodes(rng, task, [added]))
        for n in (1, 3, 4):
            found = np.asarray(replay.data.length[ring.latest(replay, n)])
            np.testing.assert_array_equal(found, (known + [0] * 4)[:n])
    with pytest.raises(UserError, match="raise --buffer-episodes"):
        ring.latest(replay, 5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"obs_shape": (4, 4, 3), "obs_dtype": np.dtype(np.uint8), "horizon": 7},
        {"action": Box((-1.0,) * 4, (1.0,) * 4), "goal_dtype": np.dtype(np.float32)},
    ],
)
def test_predicted_bytes_are_those_allocated(task, changes):
    task = task._replace(**changes)
    allocated = sum(leaf.nbytes for leaf in jax.tree.leaves(ring.init(task, 6).data))
    assert ring.predicted_bytes(task, 6) == allocated


@given(
    available=st.integers(10**3, 10**9),
    capacity=st.integers(10**7, 10**9),  # more than fit
)
def test_a_refused_capacity_comes_with_the_largest_that_fits(task, available, capacity):
    with pytest.raises(UserError, match=task.name) as error:
        ring.check_memory(task, capacity, available)
    fits = int(re.search(r"--buffer-episodes (\d+)", str(error.value))[1])
    ring.check_memory(task, fits, available)
    with pytest.raises(UserError):
        ring.check_memory(task, fits + 1, available)
    assert 0.79 * available < ring.needed_bytes(task, fits + 1) <= available


def test_what_a_run_needs_is_the_replay_and_its_largest_array_again(task):
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(ring.init(task, 6).data)]
    assert ring.needed_bytes(task, 6) == sum(sizes) + max(sizes)


def test_memory_of_this_machine_holds_a_small_replay_and_not_an_absurd_one(task):
    ring.check_memory(task, 10)
    with pytest.raises(UserError, match="--buffer-episodes"):
        ring.check_memory(task, 10**15)


def test_sample_is_uniform_over_episodes_then_over_their_steps(task, random_episodes):
    lengths = [1, 5, 0, 2, 3]
    replay = ring.add(ring.init(task, 7), random_episodes(np.random.default_rng(0), task, lengths))
    index = ring.sample(jax.random.key(0), replay, 20_000)
    stored = [steps for steps in lengths if steps > 0]
    moments = [(e, t) for e, steps in enumerate(stored) for t in range(steps)]
    drawn = list(zip(index.episode.tolist(), index.step.tolist(), strict=True))
    assert set(drawn) == set(moments)
    expected = [20_000 / len(stored) / stored[e] for e, _ in moments]
    assert chisquare([drawn.count(moment) for moment in moments], expected).pvalue > 0.001


def test_sample_depends_on_its_key(task, random_episodes):
    replay = ring.add(ring.init(task, 3), random_episodes(np.random.default_rng(0), task, [5] * 3))
    one, again, other = (ring.sample(jax.random.key(seed), replay, 50) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    assert (one.step != other.step).any()
    assert (one.episode != other.episode).any()


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_dealt_episodes_are_all_there_in_their_order(task, random_episodes, sizes, count, seed):
    rng, own = np.random.default_rng(seed), 5
    replays = []
    for number, size in enumerate(sizes):
        replay = ring.init(task, own)
        for age in range(size):
            episodes = random_episodes(rng, task, [1 + age % 3])
            tagged = episodes._replace(obs=np.full_like(episodes.obs, 100 * number + age))
            replay = add(replay, tagged)
        replays.append(replay)

    def tags(replay: ring.Replay) -> list[int]:
        return [int(episode.obs[0, 0]) for episode in oldest_first(replay)]

    capacity = -(-own * len(sizes) // count)
    shares = [tags(replay) for replay in ring.dealt(replays, count, capacity)]
    assert sorted(chain(*shares)) == sorted(chain(*map(tags, replays)))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    newest = [max(tags(replay), default=0) for replay in replays]
    for share in shares:
        ages = [newest[tag // 100] - tag for tag in share]
        assert ages == sorted(ages, reverse=True)  # from the oldest to the newest
