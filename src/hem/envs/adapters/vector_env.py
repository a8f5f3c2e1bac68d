"""Vector environments: many at once, stepped in lockstep, with automatic resets. No JAX here.

Episodes run in waves. A row whose episode is over, or that is not requested, gets some valid action
and is ignored, until all are over and all begin again. So it does not matter when the vector
environment resets a row (its autoreset mode), as long as the last frame of an episode is read from
where that mode puts it.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from hem.envs.adapters import env_errors, env_slots, protocol, reported_success
from hem.envs.adapters.arguments import read_kwargs
from hem.envs.adapters.env_id import EnvSpec
from hem.envs.adapters.env_slots import StepResult
from hem.envs.spaces.batches import MismatchError
from hem.envs.spaces.codec import encode_rows, is_goal_observation, to_environment, value_of
from hem.envs.spaces.forms import KEYS
from hem.errors import UserError, require
from hem.system.packages import is_installed

ENVPOOL = "EnvPool is not installed: run `pip install 'hindsight-em[envpool]'`"


class VectorEnv:
    """A vector environment. Its rows are the slots; a reset resets all of them.

    An EnvPool takes seeds only at construction. It is made at the first reset, with that seed; its
    later episodes depend on earlier ones, so resuming a run is not exact.
    """

    def __init__(self, plan: EnvSpec, env: Any = None) -> None:
        """Prepare the slots.

        Args:
            plan: what to make.
            env: the vector environment, if it was already made.
        """
        self.plan = plan
        self.info: dict[str, Any] = {}
        self._is_pool = plan.origin.kind == "envpool"
        if env is None:
            env = _pool(plan, seed=0) if self._is_pool else env_slots.make(plan)
        self.env, self._seeded = env, False
        self.forms = env_slots.checked_forms(plan, env)
        self.size = int(env.num_envs)
        self._mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self._terminated = np.zeros(self.size, bool)  # by row, in the latest step
        self._truncated = np.zeros(self.size, bool)
        self._goals = np.zeros((self.size, *self.forms.goal.shape), self.forms.goal.dtype)
        self._timestep = 0

    def reset(self, slots: Sequence[int], seeds: Sequence[int]) -> StepResult:
        with env_errors.attributed_to(self.plan.origin, f"in reset(seed={seeds[0]})"):
            obs, self.info = self.reset_raw(slots, seeds)
        frames = self._frames(slots, obs)
        self._goals[np.asarray(slots)] = frames.goal
        return frames

    def step(self, slots: Sequence[int], actions: np.ndarray) -> StepResult:
        with env_errors.attributed_to(
            self.plan.origin, f"in step {self._timestep + 1} of its episodes"
        ):
            obs, reward, _, _, self.info = self.step_raw(self._batch(slots, actions))
        rows = np.asarray(slots)
        frames = self._frames(slots, obs)._replace(
            reward=np.array([reported_success.number(reward[row]) for row in slots]),
            said=reported_success.of_infos(self.info, self.size)[rows],
        )
        if self._mode == AutoresetMode.SAME_STEP and (frames.terminated | frames.truncated).any():
            frames = self._with_last_frames(slots, frames)
        for row, goal in zip(slots, frames.goal, strict=True):
            env_slots.check_goal(self.plan, self._goals[row], goal, self._when())
        return frames

    def reset_raw(self, slots: Sequence[int], seeds: Sequence[int]) -> tuple[Any, dict]:
        """The return value of the vector environment's own ``reset``."""
        self._timestep = 0
        self._terminated = np.zeros(self.size, bool)
        self._truncated = np.zeros(self.size, bool)
        if self._is_pool and not self._seeded:
            self.env.close()
            self.env, self._seeded = _pool(self.plan, seeds[0]), True
        return protocol.of_reset(self.env.reset(**self._seeding(slots, seeds)))

    def step_raw(self, batch: np.ndarray) -> tuple[Any, ...]:
        """The return value of the vector environment's own ``step``."""
        self._timestep += 1
        over = self._terminated | self._truncated
        if self._mode == AutoresetMode.DISABLED and over.any():
            self.env.reset(options={"reset_mask": over})
        result = protocol.of_steps(self.env.step(batch), self.size)
        self._terminated, self._truncated = result[2:4]
        return result

    def render(self, slot: int) -> Any:
        try:
            frames = self.env.render()
        except (Exception, SystemExit) as error:
            raise env_errors.failed(self.plan.origin, "in render()", error) from error
        return None if frames is None or len(frames) <= slot else frames[slot]

    def close(self) -> None:
        if self.plan.origin.is_instance:
            return
        with contextlib.suppress(Exception, SystemExit):
            self.env.close()

    def _seeding(self, slots: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
        """The arguments of ``reset``: one seed per row, if it is known to accept that."""
        if self._is_pool:
            return {}
        if not isinstance(self.env.unwrapped, (SyncVectorEnv, AsyncVectorEnv)):
            return {"seed": int(seeds[0])}
        each = [int(seeds[0])] * self.size
        for slot, seed in zip(slots, seeds, strict=True):
            each[slot] = int(seed)
        return {"seed": each}

    def _batch(self, slots: Sequence[int], actions: np.ndarray) -> np.ndarray:
        each = [to_environment(self.forms.action, actions[0])] * self.size
        for slot, action in zip(slots, actions, strict=True):
            each[slot] = to_environment(self.forms.action, action)
        return np.stack(each)

    def _frames(self, slots: Sequence[int], obs: Any) -> StepResult:
        rows = np.asarray(slots)
        forms = (self.forms.obs, self.forms.goal, self.forms.goal._replace(what="desired_goal"))
        if not is_goal_observation(obs):
            raise env_errors.unfit(self.plan.origin, self._when(), env_slots.NO_DICT)
        try:
            parts = [encode_rows(form, value_of(form, obs), self.size, rows) for form in forms]
        except MismatchError as error:
            raise env_errors.unfit(self.plan.origin, self._when(), str(error)) from error
        return StepResult(
            *parts,
            terminated=self._terminated[rows],
            truncated=self._truncated[rows],
            lost=np.zeros(len(rows), bool),
            reward=np.full(len(rows), np.nan),
            said=np.full(len(rows), reported_success.UNSAID, np.int8),
        )

    def _with_last_frames(self, slots: Sequence[int], frames: StepResult) -> StepResult:
        """The frames, with those of ended episodes as they were before the automatic reset."""
        last = self.info.get("final_obs")
        if last is None:
            raise env_errors.unfit(
                self.plan.origin, self._when(), "info lacks final_obs although an episode ended"
            )
        obs, achieved, goal, said = map(np.array, (*frames[:3], frames.said))
        said_last = reported_success.of_infos(self.info.get("final_info"), self.size)
        for row in np.flatnonzero(frames.terminated | frames.truncated).tolist():
            slot = slots[row]
            one = {key: last[key][slot] for key in KEYS} if isinstance(last, dict) else last[slot]
            obs[row], achieved[row], goal[row] = env_slots.encoded(
                self.plan, self.forms, one, self._when()
            )
            said[row] = said_last[slot]
        return frames._replace(obs=obs, achieved=achieved, goal=goal, said=said)

    def _when(self) -> str:
        return f"in step {self._timestep} of its episodes" if self._timestep else "in reset()"


def _pool(plan: EnvSpec, seed: int) -> Any:
    """Make an EnvPool.

    Raises:
        UserError: it is not installed, or has no such task.
        EnvError: its constructor failed.
    """
    require(is_installed("envpool"), ENVPOOL)
    try:
        envpool = importlib.import_module("envpool")
    except ImportError as error:
        raise UserError(f"{ENVPOOL} ({error})") from error
    known = envpool.list_all_envs()
    if plan.origin.name not in known:
        raise UserError(
            f"EnvPool has no {plan.origin.name}: it has " + _like(plan.origin.name, known)
        )
    limit = {"max_episode_steps": plan.horizon} if plan.horizon else {}
    mode = {"render_mode": "rgb_array"} if plan.render else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own use of Gymnasium
            return envpool.make_gymnasium(
                plan.origin.name,
                num_envs=plan.slots,
                num_threads=plan.threads,
                seed=int(seed),
                **limit,
                **mode,
                **read_kwargs(plan.kwargs),
            )
    except Exception as error:
        raise env_errors.failed(plan.origin, "in its constructor", error) from error


def _like(name: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415  only needed for errors

    return ", ".join(difflib.get_close_matches(name, known, n=5, cutoff=0.0))
