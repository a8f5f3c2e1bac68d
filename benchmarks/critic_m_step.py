"""HER's update of actor, critics and averages, compiled as one scan, against the loop in PyTorch.

With one critic, as in the presets, and with the critics of later work: five of them, with layer
normalization, and an actor that is updated after every fourth of their updates.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import Figure, Runner, compared, rates
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state, make_learn
from hem.training.rollout import collector
from hem.types import Batch

ENV, HIDDEN, BATCH = "FetchReach-v4", (256, 256, 256), 256
EPISODES = 64
UPDATES, PEER_UPDATES = 200, 48
TURNS = 9
GAMMA, AVERAGING, RATE, PENALTY = 0.98, 0.995, 1e-3, 1.0


class Critics(NamedTuple):
    """Settings of HER that cost time."""

    n_critics: int = 1
    critic_layer_norm: bool = False
    policy_delay: int = 1


def measure() -> list[Figure]:
    later = Critics(n_critics=5, critic_layer_norm=True, policy_delay=4)
    return [
        *_measured(Critics(), ""),
        *_measured(later, ", 5 critics with layer norm, policy delay 4"),
    ]


def _measured(critics: Critics, more: str) -> list[Figure]:
    whole, m_only, batch = _ours(critics)
    peer = "PyTorch loop"
    measured = rates(
        {
            "M-step": Runner(m_only, UPDATES),
            "E- and M-step": Runner(whole, UPDATES),
            peer: Runner(_torch(batch, critics), PEER_UPDATES),
        },
        TURNS,
    )
    what = f"of HER, {len(HIDDEN)}x{HIDDEN[0]} MLPs, batch {BATCH}{more}"
    return [
        compared(f"{name} {what}", "updates/s", measured[name], peer, measured[peer])
        for name in ("M-step", "E- and M-step")
    ]


def _ours(critics: Critics) -> tuple[Callable[[], object], Callable[[], object], Batch]:
    experiment = make_experiment(
        ENV, "her", hidden_dims=HIDDEN, batch_size=BATCH, **critics._asdict()
    )
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


def _torch(batch: Batch, critics: Critics) -> Callable[[], object]:
    """A good script's loop, on a batch that is already there and normalized."""
    import torch  # noqa: PLC0415  an extra

    def tensor(x: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(x, np.float32))

    seen = torch.cat([tensor(batch.obs), tensor(batch.goal)], dim=1)
    then = torch.cat([tensor(batch.next_obs), tensor(batch.goal)], dim=1)
    action, reward = tensor(batch.action), tensor(batch.reward) - 1
    going = tensor(np.asarray(batch.discount) > 0) * GAMMA
    features, actions = seen.shape[1], action.shape[1]

    def perceptron(*sizes: int, layer_norm: bool = False) -> list[torch.nn.Module]:
        layers: list[torch.nn.Module] = []
        for before, after in itertools.pairwise(sizes[:-1]):
            layers.append(torch.nn.Linear(before, after))
            if layer_norm:
                layers.append(torch.nn.LayerNorm(after))
            layers.append(torch.nn.ReLU())
        return [*layers, torch.nn.Linear(*sizes[-2:])]

    def critic() -> torch.nn.Module:
        sizes = (features + actions, *HIDDEN, 1)
        return torch.nn.Sequential(*perceptron(*sizes, layer_norm=critics.critic_layer_norm))

    actor = torch.nn.Sequential(*perceptron(features, *HIDDEN, actions), torch.nn.Tanh())
    ensemble = torch.nn.ModuleList(critic() for _ in range(critics.n_critics))
    slow_actor, slow_ensemble = copy.deepcopy(actor), copy.deepcopy(ensemble)
    adams = [torch.optim.Adam(x.parameters(), RATE) for x in (actor, ensemble)]
    averaged = [*zip(actor.parameters(), slow_actor.parameters(), strict=True)]
    averaged += zip(ensemble.parameters(), slow_ensemble.parameters(), strict=True)
    pair = min(2, critics.n_critics)

    def values(members: Any, inputs: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        both = torch.cat([inputs, chosen], dim=1)
        return torch.stack([member(both)[:, 0] for member in members])

    def improve() -> None:
        chosen = actor(seen)
        loss = PENALTY * chosen.square().mean() - values(ensemble, seen, chosen).mean()
        adams[0].zero_grad()
        loss.backward()
        adams[0].step()

    def run() -> None:
        for update in range(PEER_UPDATES):
            with torch.no_grad():
                two = [slow_ensemble[i] for i in torch.randperm(critics.n_critics)[:pair]]
                value = values(two, then, slow_actor(then)).min(dim=0).values
                target = (reward + going * value).clamp(-1 / (1 - GAMMA), 0)
            now = values(ensemble, seen, action)
            loss = torch.nn.functional.mse_loss(now, target.expand_as(now))
            adams[1].zero_grad()
            loss.backward()
            adams[1].step()
            if update % critics.policy_delay == 0:
                improve()
            with torch.no_grad():
                new, old = zip(*averaged, strict=True)
                torch._foreach_lerp_(list(old), list(new), 1 - AVERAGING)

    return run
