"""HER's update of actor, critic and averages, compiled as one scan, against the loop in PyTorch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import Figure, Runner, compared, rates
from hem.runs.experiment import make_experiment
from hem.training.loop import init_state, make_learn
from hem.training.rollout import collector
from hem.types import Batch

ENV, HIDDEN, BATCH = "FetchReach-v4", (256, 256, 256), 256
EPISODES = 64
UPDATES, PEER_UPDATES = 200, 50
TURNS = 9
GAMMA, AVERAGING, RATE, PENALTY = 0.98, 0.995, 1e-3, 1.0


def measure() -> list[Figure]:
    whole, m_only, batch = _ours()
    peer = "PyTorch loop"
    measured = rates(
        {
            "M-step": Runner(m_only, UPDATES),
            "E- and M-step": Runner(whole, UPDATES),
            peer: Runner(_torch(batch), PEER_UPDATES),
        },
        TURNS,
    )
    what = f"of HER, {len(HIDDEN)}x{HIDDEN[0]} MLPs, batch {BATCH}"
    return [
        compared(f"{name} {what}", "updates/s", measured[name], peer, measured[peer])
        for name in ("M-step", "E- and M-step")
    ]


def _ours() -> tuple[Callable[[], object], Callable[[], object], Batch]:
    experiment = make_experiment(ENV, "her", hidden_dims=HIDDEN, batch_size=BATCH)
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, EPISODES)
    collect = collector(env, algorithm.act, EPISODES, explore=True, ends=True)
    episodes = collect(jax.random.key(0), state.agent_state, 0)
    learn = jax.jit(make_learn(env.task, algorithm, UPDATES))
    filled = learn(state, episodes)[0]
    keys = jax.random.split(jax.random.key(1), UPDATES)
    batch = jax.tree.map(np.array, algorithm.e_step(keys[0], filled.agent_state, filled.replay))

    @jax.jit
    def m_steps(agent_state: object, batch: Batch) -> object:
        return jax.lax.scan(lambda s, key: algorithm.m_step(key, s, batch), agent_state, keys)[0]

    held = jax.tree.map(jnp.asarray, batch)
    return (
        lambda: jax.block_until_ready(learn(state, episodes)[0].agent_state),
        lambda: jax.block_until_ready(m_steps(filled.agent_state, held)),
        batch,
    )


def _torch(batch: Batch) -> Callable[[], object]:
    """A good script's loop, on a batch that is already there and normalized."""
    import torch  # noqa: PLC0415  an extra

    def tensor(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(x, np.float32))

    seen = torch.cat([tensor(batch.obs), tensor(batch.goal)], dim=1)
    then = torch.cat([tensor(batch.next_obs), tensor(batch.goal)], dim=1)
    action, reward = tensor(batch.action), tensor(batch.reward) - 1
    going = tensor(np.asarray(batch.discount) > 0) * GAMMA
    features, actions = seen.shape[1], action.shape[1]

    def perceptron(*sizes: int) -> list[torch.nn.Module]:
        layers: list[torch.nn.Module] = []
        for before, after in itertools.pairwise(sizes[:-1]):
            layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        return [*layers, torch.nn.Linear(*sizes[-2:])]

    actor = torch.nn.Sequential(*perceptron(features, *HIDDEN, actions), torch.nn.Tanh())
    critic = torch.nn.Sequential(*perceptron(features + actions, *HIDDEN, 1))
    slow_actor, slow_critic = copy.deepcopy(actor), copy.deepcopy(critic)
    adams = [torch.optim.Adam(x.parameters(), RATE) for x in (actor, critic)]
    averaged = [*zip(actor.parameters(), slow_actor.parameters(), strict=True)]
    averaged += zip(critic.parameters(), slow_critic.parameters(), strict=True)

    def run() -> None:
        for _ in range(PEER_UPDATES):
            with torch.no_grad():
                value = slow_critic(torch.cat([then, slow_actor(then)], dim=1))[:, 0]
                target = (reward + going * value).clamp(-1 / (1 - GAMMA), 0)
            now = critic(torch.cat([seen, action], dim=1))[:, 0]
            loss = torch.nn.functional.mse_loss(now, target)
            adams[1].zero_grad()
            loss.backward()
            adams[1].step()
            chosen = actor(seen)
            value = critic(torch.cat([seen, chosen], dim=1))[:, 0]
            loss = PENALTY * chosen.square().mean() - value.mean()
            adams[0].zero_grad()
            loss.backward()
            adams[0].step()
            with torch.no_grad():
                new, old = zip(*averaged, strict=True)
                torch._foreach_lerp_(list(old), list(new), 1 - AVERAGING)

    return run
