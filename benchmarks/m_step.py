"""hEM's M-step, all updates of an iteration as one compiled scan, against the loop in PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import Figure, best_seconds
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state, make_learn
from hem.training.rollout import collector

UPDATES = 1000
SIZES = [((64, 64), 64), ((256, 256), 64), ((256, 256), 256)]


def measure() -> list[Figure]:
    figures = []
    for hidden, batch in SIZES:
        whole, m_only, inputs = _ours(hidden, batch)
        torch = _torch(hidden, batch, inputs)
        seconds = best_seconds(whole, m_only, torch)
        rates = [UPDATES / seconds[0], UPDATES / seconds[1], UPDATES / 10 / seconds[2]]
        name = f"{len(hidden)}x{hidden[0]} MLP, batch {batch}"
        against = f"PyTorch loop ({rates[2]:,.0f})"
        figures += [
            Figure(name=f"M-step, {name}", value=rates[1], unit="updates/s",
                   ratio=rates[1] / rates[2], against=against),
            Figure(name=f"E- and M-step, {name}", value=rates[0], unit="updates/s",
                   ratio=rates[0] / rates[2], against=f"{against}, which has no E-step"),
        ]  # fmt: skip
    return figures


def _ours(
    hidden_dims: tuple[int, ...], batch_size: int
) -> tuple[Callable[[], object], Callable[[], object], tuple[np.ndarray, np.ndarray]]:
    experiment = make_experiment("FlipBit", bits=25, hidden_dims=hidden_dims, batch_size=batch_size)
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, 2000)
    collect = collector(env, algorithm.act, 2000, explore=True, ends=True)
    episodes = collect(jax.random.key(0), state.agent_state, 0)
    learn = jax.jit(make_learn(env.task, algorithm, UPDATES))
    filled = learn(state, episodes)[0]
    keys = jax.random.split(jax.random.key(1), UPDATES)
    batch = algorithm.e_step(keys[0], filled.agent_state, filled.replay)

    @jax.jit
    def m_steps(agent_state: object) -> object:
        return jax.lax.scan(lambda s, key: algorithm.m_step(key, s, batch), agent_state, keys)[0]

    inputs = np.concatenate([batch.obs, batch.goal], axis=1).astype(np.float32)
    return (
        lambda: jax.block_until_ready(learn(state, episodes)[0].agent_state),
        lambda: jax.block_until_ready(m_steps(filled.agent_state)),
        (inputs, np.array(batch.action)),
    )


def _torch(
    hidden_dims: tuple[int, ...], batch_size: int, data: tuple[np.ndarray, np.ndarray]
) -> Callable[[], object]:
    """A tenth of the updates, on a batch that is already there: the loop of a good script."""
    import torch  # noqa: PLC0415  an extra

    inputs, action = torch.from_numpy(data[0]), torch.from_numpy(data[1]).long()
    sizes = [inputs.shape[1], *hidden_dims]
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], 25))
    adam = torch.optim.Adam(network.parameters(), 1e-3)

    def run() -> None:
        for _ in range(UPDATES // 10):
            loss = torch.nn.functional.cross_entropy(network(inputs), action)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return run
