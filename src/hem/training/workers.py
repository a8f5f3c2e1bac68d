"""The workers of a run: the same program on several devices and processes, each with its share.

The arrays of all workers have a leading axis of W, sharded over their devices; parameters are equal
on each. ``ONE`` is a run on one device, without that axis and without communication.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hem.system.collectives import AXIS
from hem.system.compile_cache import jit
from hem.training.rollout import Act, Collect, collector, scan_collector
from hem.types import BatchedEnv, Episodes, JaxEnv


class Workers:
    """W workers, one on each of the first W devices of all processes."""

    def __init__(self, count: int) -> None:
        devices = jax.devices()[:count]
        self.count = count
        self.mine = [w for w, d in enumerate(devices) if d.process_index == jax.process_index()]
        self.is_lead = 0 in self.mine
        self._mesh = Mesh(np.array(devices), (AXIS,))
        self._sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))

    def map(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """Compile a function of one worker's trees to run on all workers, on [W, ...] arrays."""

        def shard(*trees: Any) -> Any:
            returned = function(*jax.tree.map(lambda x: x[0], trees))
            return jax.tree.map(lambda x: x[None], returned)

        spec = PartitionSpec(AXIS)
        mapped = jax.shard_map(
            shard, mesh=self._mesh, in_specs=spec, out_specs=spec, check_vma=False
        )
        return jit(mapped, **options)

    def collector(
        self,
        env: JaxEnv | BatchedEnv,
        act: Act,
        n: int,
        explore: bool,
        ends: bool,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Collect:
        """As ``rollout.collector``, with ``n`` episodes on each worker, numbered consecutively.

        ``should_stop`` is not called: the other workers would wait.
        """
        offsets = n * np.arange(self.count)
        if isinstance(env, JaxEnv):
            return self._on_devices(scan_collector(env, act, n, explore, ends), offsets)
        mine = len(self.mine)
        local = collector(env, act, n * mine, explore, ends)

        def collect(key: jax.Array, agent_state: Any, first_episode: int) -> Episodes:
            episodes = local(key, self.one(agent_state), first_episode + offsets[self.mine[0]])
            by_worker = jax.tree.map(lambda x: x.reshape(mine, n, *x.shape[1:]), episodes)
            return self.place(by_worker)

        return collect

    def _on_devices(self, collect: Collect, offsets: np.ndarray) -> Collect:
        def of_key_data(data: jax.Array, agent_state: Any, first_episode: jax.Array) -> Episodes:
            return collect(jax.random.wrap_key_data(data), agent_state, first_episode)

        mapped = self.map(of_key_data)

        def on_all(key: jax.Array, agent_state: Any, first_episode: int) -> Episodes:
            first = self.place((first_episode + offsets[self.mine]).astype(np.int32))
            return mapped(self.same(jax.random.key_data(key)), agent_state, first)

        return on_all

    def same(self, tree: Any) -> Any:
        """Copies of a tree for every worker, such as of parameters."""
        return self.place(jax.tree.map(lambda x: np.stack([np.asarray(x)] * len(self.mine)), tree))

    def place(self, local: Any) -> Any:
        """The tree of all workers, from this process's part [len(mine), ...] of its arrays."""
        return jax.tree.map(
            lambda x: jax.make_array_from_process_local_data(self._sharding, np.asarray(x)), local
        )

    def place_each(self, trees: Sequence[Any]) -> Any:
        """The tree of all workers, from one tree for each worker of this process."""
        return self.place(jax.tree.map(lambda *leaves: np.stack(leaves), *trees))

    def one(self, tree: Any) -> Any:
        """The tree of one of this process's workers, for what is equal on all."""
        return jax.tree.map(lambda x: x.addressable_data(0)[0], tree)

    def local(self, tree: Any) -> dict[int, Any]:
        """The tree of each worker of this process."""
        return {
            w: jax.tree.map(lambda x, i=i: x.addressable_data(i)[0], tree)
            for i, w in enumerate(self.mine)
        }

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self._gather(np.array(flag)).any())

    def broadcast(self, data: bytes) -> bytes:
        """The leading process's bytes, of the same length in all."""
        sent = np.frombuffer(data, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes()

    def gather(self, data: dict[int, bytes]) -> list[bytes]:
        """The bytes of every worker, of the same length in all."""
        mine = np.stack([np.frombuffer(data[w], np.uint8) for w in self.mine])
        return [row.tobytes() for row in self._gather(mine).reshape(self.count, -1)]

    def _gather(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(multihost_utils.process_allgather(array))


class One(Workers):
    """A run on one device: functions and trees stay as they are."""

    def __init__(self) -> None:
        self.count, self.mine, self.is_lead = 1, [0], True

    def map(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        return jit(function, **options)

    def collector(
        self,
        env: JaxEnv | BatchedEnv,
        act: Act,
        n: int,
        explore: bool,
        ends: bool,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Collect:
        return collector(env, act, n, explore, ends, should_stop)

    def same(self, tree: Any) -> Any:
        return tree

    def place(self, local: Any) -> Any:
        return local

    def place_each(self, trees: Sequence[Any]) -> Any:
        return trees[0]

    def one(self, tree: Any) -> Any:
        return tree

    def local(self, tree: Any) -> dict[int, Any]:
        return {0: tree}

    def any(self, flag: bool) -> bool:
        return flag

    def broadcast(self, data: bytes) -> bytes:
        return data

    def gather(self, data: dict[int, bytes]) -> list[bytes]:
        return [data[0]]


ONE = One()
