"""``hem check``: examines an environment and reports problems in plain words.

It is examined directly, without hem in between: spaces, then random episodes (``recorder.py``),
then how hem would judge success. Every finding says what to do where that is not obvious.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium

from hem import registry
from hem.cli.check.recorder import Episode, Issues, RewardFunction, StepRecord, watch
from hem.cli.check.rules import RULES, Finding, Subject
from hem.envs.adapters import env_errors, isolated
from hem.envs.adapters.adapter import Config, EnvAdapter
from hem.envs.adapters.agreement import Agreement
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.env_slots import StepResult, stack
from hem.envs.adapters.isolated import Beat
from hem.envs.adapters.open_slots import make_env_slots
from hem.envs.adapters.probe import EnvInfo, judge_of, registered_horizon
from hem.envs.adapters.reported_success import NO, UNSAID, YES
from hem.envs.adapters.single_env_view import SingleEnvView
from hem.envs.adapters.success import REMEDY
from hem.envs.adapters.vector_env import VectorEnv
from hem.envs.gym_env import GoalEnv
from hem.envs.spaces.batches import MismatchError
from hem.envs.spaces.codec import encode
from hem.envs.spaces.forms import KEYS, form_of, forms_of, named
from hem.errors import EnvError, UserError, one_line, require
from hem.viz.progress_bar import PATIENCE, Bar

LONGEST = 1000  # steps examined per episode


def examine(env: str, config: Any, episodes: int = 20, quiet: bool = True) -> list[Finding]:
    """Examine an environment; an external one in a separate process, if it uses processes.

    Args:
        env: its name, as for ``hem train``.
        config: its configuration.
        episodes: number of random episodes.
        quiet: do not show progress.

    Raises:
        UserError: unknown environment.
    """
    require(episodes >= 1, f"episodes must be at least 1, not {episodes}")
    module = registry.load("environment", env)
    patience = math.inf if quiet else PATIENCE
    with Bar(f"Random episodes of {env}", patience=patience) as bar:
        if not isinstance(module, EnvAdapter) or not config.in_processes:
            with contextmanager(examined)(
                env, config, episodes, lambda share, _: bar(share)
            ) as all_:
                return all_
        arguments = (env, dataclasses.replace(config, env_workers=0), episodes)
        target, name = f"{__name__}:examined", module.origin.short
        try:
            return isolated.call(name, target, arguments, config.patience, bar)
        except UserError as error:
            return [Finding("error", str(error))]


def examined(env: str, config: Any, episodes: int, beat: Beat) -> Iterator[list[Finding]]:
    """Examine an environment in this process; see ``examine``. It is closed after the findings.

    Args:
        env: its name.
        config: its configuration.
        episodes: number of random episodes.
        beat: called before each call into the environment.
    """
    module, findings, when = registry.load("environment", env), [], ""

    def on_progress(share: float, what: str) -> None:
        nonlocal when
        when = what
        beat(share, what)

    origin = _origin(module)
    with contextlib.ExitStack() as stack:
        try:
            on_progress(0.0, "in its constructor")
            subject = _subject(module, config)
            stack.callback(_close, subject.env)
            watched = _examine(subject, episodes, findings, on_progress)
            if isinstance(module, EnvAdapter) and len(watched) == episodes:
                env_info = stack.enter_context(module.examined(config, on_progress))
                findings += _use(env_info, subject, watched)
        except UserError as error:
            findings.append(Finding("error", env_errors.without_remedy(origin, str(error))))
        except (Exception, SystemExit) as error:
            said = env_errors.describe(error, origin)
            findings.append(Finding("error", f"it fails {when}: {said}"))
        levels = ("error", "warning", "note")
        yield sorted(findings, key=lambda found: levels.index(found.level))


def _examine(subject: Subject, episodes: int, findings: list[Finding], beat: Beat) -> list[Episode]:
    """Examine its spaces and random episodes; fewer if what it returns cannot be used."""
    forms_of(subject.env.observation_space, subject.env.action_space)
    findings += _spaces(subject)
    issues = Issues()
    longest = min(subject.horizon or LONGEST, LONGEST)
    reward_fn = None if subject.given else subject.reward_fn
    watched = watch(subject.env, episodes, longest, reward_fn, issues, beat)
    findings += [Finding("error", said) for said in issues.texts()]
    if len(watched) == episodes:
        beat(1.0, "after its random episodes")
        for part in RULES:
            findings += part(subject, watched)
    return watched


def _close(env: gymnasium.Env) -> None:
    with contextlib.suppress(Exception, SystemExit):
        env.close()


def text(findings: list[Finding]) -> str:
    """The findings as printed, with a summary line."""
    errors = sum(found.level == "error" for found in findings)
    said = [f"{found.level:<9}{one_line(found.text)}" for found in findings]
    wrong = {0: "No errors found.", 1: "1 error found."}.get(errors, f"{errors} errors found.")
    return "\n".join([*said, wrong])


def _subject(module: Any, config: Any) -> Subject:
    """Make the environment itself."""
    origin = _origin(module)
    if not isinstance(module, EnvAdapter):
        env = GoalEnv(module.make(config))
        reward_fn = None if env.task.image_goals else RewardFunction(env.compute_reward)
        return Subject(module.NAME, origin, env, reward_fn, env.task.horizon)
    assert isinstance(config, Config)
    made = make_env_slots(EnvSpec(module.origin, config.env_kwargs, config.horizon))
    env = SingleEnvView(made) if isinstance(made, VectorEnv) else made.env
    reward_fn = judge_of(module.origin, made)[1]
    horizon = config.horizon or registered_horizon(made.env)
    given = config.threshold is not None or config.success != ""
    return Subject(
        module.origin.short, origin, env, reward_fn and RewardFunction(reward_fn), horizon, given
    )


def _origin(module: Any) -> EnvId:
    return module.origin if isinstance(module, EnvAdapter) else EnvId("gymnasium", "", module.NAME)


def _spaces(subject: Subject) -> Iterator[Finding]:
    """Findings from the spaces alone."""
    space = subject.env.observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    if space["achieved_goal"] != space["desired_goal"]:
        yield Finding(
            "warning",
            f"achieved_goal has the space {named(space['achieved_goal'])}, but desired_goal has "
            f"{named(space['desired_goal'])}: relabeled goals are achieved goals, so the spaces "
            "should be equal",
        )
    if extra := sorted(set(space.spaces) - set(KEYS)):
        yield Finding("note", f"hem ignores {', '.join(extra)} in the observation")
    form = form_of(space["observation"], "observation")
    seen = "an image" if len(form.shape) == 3 else "numbers"
    yield Finding("note", f"hem sees the observation as {seen}, {form.dtype}{list(form.shape)}")


def _use(env_info: EnvInfo, subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """Findings from how hem would use it."""
    if subject.reward_fn and subject.reward_fn.error is not None:
        said = env_errors.describe(subject.reward_fn.error, subject.origin)
        yield Finding("error", f"compute_reward fails: {said}; {REMEDY}")
    yield Finding("note", f"success for hem: {env_info.verdict.how}")
    try:
        _compare(subject.name, env_info, episodes)
    except EnvError as error:
        yield Finding("warning" if env_info.verdict.given else "error", str(error))


def _compare(name: str, env_info: EnvInfo, episodes: list[Episode]) -> None:
    """Compare hem's success with what the environment reported in these episodes.

    Raises:
        EnvError: they contradict each other.
    """
    agreement = Agreement(name, env_info.verdict, slots=1)
    with contextlib.suppress(MismatchError):  # already reported
        for first, *steps in episodes:
            agreement.begin([0], _frames(env_info, first))
            for step in steps:
                agreement.step([0], _frames(env_info, step))


def _frames(env_info: EnvInfo, step: StepRecord) -> StepResult:
    achieved, desired = (encode(env_info.forms.goal, x) for x in (step.achieved, step.desired))
    said = {None: UNSAID, True: YES, False: NO}[step.success]
    row = (achieved, achieved, desired, step.terminated, step.over, step.reward, said)
    return stack([row])
