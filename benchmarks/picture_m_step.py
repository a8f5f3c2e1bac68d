"""hEM's updates on images, compiled as one scan, against the same network's loop in PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import Figure, Runner, compared, rates
from hem.models.distributions import MIN_LOG_STD
from hem.models.networks import MAPS
from hem.replay import buffer as ring
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state, make_learn
from hem.training.rollout import collector
from hem.types import Batch

ENV, SIZE, BATCH = "FetchReach-v4", 48, 64
HIDDEN = (256, 256)
EPISODES = 32  # taken with the camera; copies of them fill the replay
UPDATES = 100
PEER_UPDATES = 50
TURNS = 9


def measure() -> list[Figure]:
    whole, m_only, batch = _ours()
    peer = f"PyTorch loop, {BATCH} {SIZE}x{SIZE} images"
    measured = rates(
        {
            "M-step": Runner(m_only, UPDATES),
            "E- and M-step": Runner(whole, UPDATES),
            peer: Runner(_torch(batch), PEER_UPDATES),
        },
        TURNS,
    )
    return [
        compared(
            f"{name}, {SIZE}x{SIZE} images, batch {BATCH}",
            "updates/s",
            measured[name],
            peer,
            measured[peer],
        )
        for name in ("M-step", "E- and M-step")
    ]


def _ours() -> tuple[Callable[[], object], Callable[[], object], Batch]:
    experiment = make_experiment(
        ENV, obs="image", image_size=SIZE, hidden_dims=HIDDEN, batch_size=BATCH
    )
    env, algorithm = experiment.build()
    collect = collector(env, algorithm.act, EPISODES, explore=True, ends=True)
    state = _copied(init_state(env.task, algorithm, 0, experiment.run.buffer_episodes))
    episodes = collect(jax.random.key(0), state.agent_state, 0)
    add = jax.jit(ring.add, donate_argnums=0)
    replay = state.replay
    for _ in range(experiment.run.buffer_episodes // EPISODES):
        replay = add(replay, episodes)
    keys = jax.random.split(jax.random.key(1), UPDATES)
    agent_state = algorithm.observe(state.agent_state, episodes)
    batch = jax.tree.map(np.array, algorithm.e_step(keys[0], agent_state, replay))
    learn = jax.jit(make_learn(env.task, algorithm, UPDATES), donate_argnums=0)
    mine = _copied(agent_state)  # the original is given up to ``learn``
    held = [state._replace(replay=replay, agent_state=agent_state)]

    @jax.jit
    def m_steps(agent_state: object, batch: Batch) -> object:
        return jax.lax.scan(lambda s, key: algorithm.m_step(key, s, batch), agent_state, keys)[0]

    def whole() -> None:
        held[0] = learn(held[0], episodes)[0]
        jax.block_until_ready(held[0].agent_state)

    return whole, lambda: jax.block_until_ready(m_steps(mine, batch)), batch


def _copied(tree: Any) -> Any:
    """Arrays of the types they name, not of JAX's weak ones, which would be compiled for anew."""
    return jax.tree.map(lambda x: jnp.array(x, x.dtype), tree)


def _torch(batch: Batch) -> Callable[[], object]:
    """A good script's loop, on a batch that is already there."""
    import torch  # noqa: PLC0415  an extra

    images = torch.from_numpy(np.moveaxis(batch.obs, -1, 1).copy())
    goal, action = torch.from_numpy(batch.goal), torch.from_numpy(batch.action)
    layers: list[torch.nn.Module] = []
    channels = images.shape[1]
    for maps, patch, stride in MAPS:
        layers += [torch.nn.Conv2d(channels, maps, patch, stride), torch.nn.ReLU()]
        channels = maps
    convolutions = torch.nn.Sequential(*layers, torch.nn.Flatten())
    features = convolutions(images.float()).shape[1] + goal.shape[1]
    layers = []
    for before, after in itertools.pairwise((features, *HIDDEN)):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    perceptron = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], action.shape[1]))
    log_std = torch.nn.Parameter(torch.full((action.shape[1],), float(np.log(0.5))))
    learned = [*convolutions.parameters(), *perceptron.parameters(), log_std]
    adam = torch.optim.Adam(learned, 1e-3)

    def run() -> None:
        for _ in range(PEER_UPDATES):
            seen = convolutions(images.float() / 255 - 0.5)
            mean = perceptron(torch.cat([seen, goal], dim=1))
            policy = torch.distributions.Normal(
                mean, log_std.clamp(min=MIN_LOG_STD).exp(), validate_args=False
            )
            loss = -policy.log_prob(action).sum(dim=1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()

    return run
