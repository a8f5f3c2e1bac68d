"""Training with HER, all but imports and compilation, against Stable-Baselines3.

Both collect two episodes of Fetch Reach to the horizon, then make their updates: DDPG, actor and
critic of three layers of 256, batches of 256, four goals in five taken in hindsight. Ours also
normalizes what it sees; Stable-Baselines3 leaves that to a wrapper, which is not used.
"""

from __future__ import annotations

import gymnasium
import gymnasium_robotics

from benchmarks import Figure, Runner, compared, rates
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations

ENV, HORIZON, EPISODES = "FetchReach-v4", 50, 2
HIDDEN, BATCH = (256, 256, 256), 256
UPDATES = (40, 100)  # after every two episodes
ITERATIONS, PEER_ITERATIONS = 12, 3
FOREVER = 10**9
TURNS = 5


def measure() -> list[Figure]:
    return [_figure(updates) for updates in UPDATES]


def _figure(updates: int) -> Figure:
    peer, steps = "Stable-Baselines3", EPISODES * HORIZON
    measured = rates({"ours": _ours(updates), peer: _stable_baselines(updates)}, TURNS)
    name = f"training with HER, {ENV}, {updates / steps:g} updates a step"
    return compared(name, "env steps/s", measured["ours"], peer, measured[peer])


def _ours(updates: int) -> Runner:
    experiment = make_experiment(
        ENV,
        "her",
        hidden_dims=HIDDEN,
        batch_size=BATCH,
        terminates_on_success=False,
        episodes_per_iteration=EPISODES,
        updates_per_iteration=updates,
        env_steps=FOREVER,
        eval_interval=FOREVER,
    )
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, experiment.run.buffer_episodes)
    going = iterations(env, algorithm, experiment.run, state, Counters())
    return Runner(lambda: [next(going) for _ in range(ITERATIONS)], ITERATIONS * EPISODES * HORIZON)


def _stable_baselines(updates: int) -> Runner:
    from stable_baselines3 import DDPG, HerReplayBuffer  # noqa: PLC0415  an extra

    gymnasium.register_envs(gymnasium_robotics)
    steps = PEER_ITERATIONS * EPISODES * HORIZON
    model = DDPG(
        "MultiInputPolicy",
        gymnasium.make(ENV),
        batch_size=BATCH,
        gamma=1 - 1 / HORIZON,
        learning_starts=HORIZON,
        train_freq=(EPISODES, "episode"),
        gradient_steps=updates,
        replay_buffer_class=HerReplayBuffer,
        policy_kwargs={"net_arch": list(HIDDEN)},
    )
    return Runner(lambda: model.learn(steps, reset_num_timesteps=False), steps)
