"""The replay buffer: a ring buffer of whole episodes, each frame stored once.

The M-step's expectation (Eq. 7) is over stored episodes; a relabeled goal is an index into them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import psutil

from hem.errors import require
from hem.types import Array, Episodes, Index, Replay, Task


def empty_episodes(task: Task, n: int) -> Episodes:
    """Shapes and dtypes of ``n`` episodes of ``task``, as ``jax.ShapeDtypeStruct`` leaves."""

    def array(*shape: int, dtype: np.dtype | type) -> Any:
        return jax.ShapeDtypeStruct((n, *shape), dtype)

    return Episodes(
        obs=array(task.horizon + 1, *task.obs_shape, dtype=task.obs_dtype),
        achieved=array(task.horizon + 1, *task.goal_shape, dtype=task.goal_dtype),
        goal=array(*task.goal_shape, dtype=task.goal_dtype),
        action=array(task.horizon, *task.action.shape, dtype=task.action.dtype),
        length=array(dtype=np.int32),
        failed=array(dtype=np.bool_),
        goal_obs=array(*task.obs_shape, dtype=task.obs_dtype) if task.image_goals else None,
    )


def predicted_bytes(task: Task, capacity: int) -> int:
    """The size in bytes of a replay buffer of ``capacity`` episodes, before it is allocated."""
    return sum(_array_bytes(task, capacity))


def needed_bytes(task: Task, capacity: int) -> int:
    """The device memory in bytes that a run with such a replay buffer needs.

    On the CPU, the largest array exists twice while a resumed run loads it. Saving takes no copy.
    """
    sizes = _array_bytes(task, capacity)
    return sum(sizes) + (max(sizes) if jax.default_backend() == "cpu" else 0)


def _array_bytes(task: Task, capacity: int) -> list[int]:
    leaves = jax.tree.leaves(empty_episodes(task, capacity))
    return [math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves]


def check_memory(task: Task, capacity: int, available: int | None = None) -> None:
    """Reject a replay buffer that needs more memory than is free, before anything is allocated.

    Args:
        task: defines the shapes of episodes.
        capacity: in episodes.
        available: bytes; by default what the operating system or the accelerator reports as free.

    Raises:
        UserError: it names the size, the free memory and a capacity that fits.
    """
    available = _available_bytes() if available is None else available
    need = needed_bytes(task, capacity)
    fits = int(0.8 * available) // needed_bytes(task, 1)
    require(
        need <= 0.8 * available,
        f"a replay buffer of {capacity} episodes of {task.name} needs {need / 2**30:.1f} GiB, but "
        f"only {available / 2**30:.1f} GiB of memory are free: "
        + (f"use --buffer-episodes {fits} or less" if fits else "not even one episode fits"),
    )


def _available_bytes() -> int:
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return psutil.virtual_memory().available


def init(task: Task, capacity: int, keeps: bool = False) -> Replay:
    """An empty replay buffer of ``capacity`` episodes; with ``keeps``, ``keep_all`` may follow."""
    data = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), empty_episodes(task, capacity))
    kept = jnp.int32(0) if keeps else None
    return Replay(data=data, head=jnp.int32(0), size=jnp.int32(0), kept=kept)


def keep_all(replay: Replay) -> Replay:
    """The replay buffer, not yet full, in which no episode that it holds is ever overwritten."""
    return replay._replace(kept=replay.size)


def add(replay: Replay, episodes: Episodes) -> Replay:
    """Store episodes, overwriting the oldest ones that are not kept when the buffer is full.

    Args:
        replay: capacity C.
        episodes: N <= C of them; those of length 0 are dropped, as they have nothing to relabel.

    Raises:
        AssertionError: the episodes do not have the buffer's shapes and dtypes, or exceed C.
    """
    capacity = replay.data.length.shape[0]
    n = len(episodes.length)
    expected = jax.tree.map(
        lambda stored: jax.ShapeDtypeStruct((n, *stored.shape[1:]), stored.dtype), replay.data
    )
    chex.assert_trees_all_equal_shapes_and_dtypes(expected, episodes)
    chex.assert_axis_dimension_lteq(episodes.length, 0, capacity)
    keep = jnp.asarray(episodes.length) > 0
    slot = _slot(replay, jnp.cumsum(keep) - 1)
    slot = jnp.where(keep, slot, capacity)  # out of bounds: dropped by the scatter
    data = jax.tree.map(
        lambda ring, new: ring.at[slot].set(new, mode="drop"), replay.data, episodes
    )
    added = jnp.sum(keep, dtype=jnp.int32)
    size = jnp.minimum(replay.size + added, capacity)
    return replay._replace(data=data, head=_slot(replay, added), size=size)


def _slot(replay: Replay, further: jax.Array) -> jax.Array:
    """The slot, or slots, so much further in the ring than its next one."""
    capacity = replay.data.length.shape[0]
    kept = 0 if replay.kept is None else replay.kept
    size = jnp.maximum(capacity - kept, 1)  # if all are kept, the slot is past the last one
    return jnp.asarray(kept + (replay.head - kept + further) % size)


def filled(replay: Replay) -> Replay:
    """The replay buffer without empty slots, for saving: NumPy views, valid until it changes.

    JAX slices would be copies, with a program compiled for each number of episodes.
    """
    size = int(replay.size)
    return replay._replace(data=jax.tree.map(lambda x: np.asarray(x)[:size], replay.data))


def dealt(replays: Sequence[Replay], count: int, capacity: int) -> list[Replay]:
    """Redistribute the episodes of several replay buffers evenly over ``count`` others, in NumPy.

    Episodes of one age are spread over all of them, so that each overwrites its oldest ones next.

    Args:
        replays: buffers of equal capacity.
        count: the number of new buffers.
        capacity: of each new buffer; the oldest episodes that do not fit are dropped.
    """
    ages = []  # of each episode: how many are newer in its buffer, the buffer, the slot
    kept = []  # the buffer and slot of those that are never overwritten
    for number, replay in enumerate(replays):
        size, head, first = int(replay.size), int(replay.head), int(replay.kept or 0)
        kept += [(number, slot) for slot in range(first)]
        n = size - first
        ages += [(n - 1 - i, number, first + (head - first + i) % n) for i in range(n)]
    data = [jax.tree.map(np.asarray, replay.data) for replay in replays]

    def filled(share: list[tuple[int, int]], first: int) -> Replay:
        def rows(*leaves: np.ndarray) -> np.ndarray:
            full = np.zeros((capacity, *leaves[0].shape[1:]), leaves[0].dtype)
            for row, (number, slot) in enumerate(share):
                full[row] = leaves[number][slot]
            return full

        size = len(share)
        head = size if size < capacity else first
        whole = Replay(
            jax.tree.map(rows, *data), np.array(head, np.int32), np.array(size, np.int32)
        )
        return whole if replays[0].kept is None else whole._replace(kept=np.array(first, np.int32))

    # The newest goes to the first buffer, the next to the second: sizes differ by one at most.
    newest_first = [(number, slot) for _, number, slot in sorted(ages)]
    firsts = [kept[worker::count] for worker in range(count)]
    rests = [newest_first[w::count][: capacity - len(firsts[w])] for w in range(count)]
    return [
        filled(first + rest[::-1], len(first)) for first, rest in zip(firsts, rests, strict=True)
    ]


def is_whole(replay: Replay) -> bool:
    """Whether the counters of a stored replay buffer can be true."""
    size, head, kept = int(replay.size), int(replay.head), int(replay.kept or 0)
    return 0 <= kept <= min(size, head) and size <= len(replay.data.length)


def latest(replay: Replay, n: int) -> jax.Array:
    """The slots i32[n] of the latest ``n`` episodes, newest first.

    If fewer are stored, the remaining slots are empty: their length is 0. ``n`` must not exceed
    the capacity.
    """
    capacity = replay.data.length.shape[0]
    require(
        n <= capacity,
        f"the replay buffer holds {capacity} episodes, not {n}: raise --buffer-episodes",
    )
    return _slot(replay, -1 - jnp.arange(n))


def fresh(replay: Replay, count: Array, most: int) -> tuple[jax.Array, jax.Array]:
    """The latest ``count`` i32[] episodes, at most ``most``: slots and lengths, i32[most] each.

    Of further slots, the length is 0. ``most`` must not exceed the capacity.
    """
    slots = latest(replay, most)
    return slots, jnp.where(jnp.arange(most) < count, jnp.asarray(replay.data.length)[slots], 0)


def sample(key: jax.Array, replay: Replay, batch_size: int) -> Index:
    """Sample steps to learn from (Algorithm 1): an episode uniformly, then a step of it uniformly.

    The key is consumed. The replay buffer must hold an episode.
    """
    u = jax.random.uniform(key, (2, batch_size))
    episode = jnp.floor(u[0] * replay.size).astype(jnp.int32)
    t = jnp.floor(u[1] * replay.data.length[episode]).astype(jnp.int32)
    return Index(episode, t)
