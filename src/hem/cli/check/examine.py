"""``hem check``: an environment is examined, and what is wrong is said in plain words.

It is looked at as it is, without hem in between: spaces, then random episodes (``watch.py``), then
how hem would tell success. Every finding says what to do, where that is not plain.
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
from hem.cli.check.recorder import Episode, Judge, Notes, Seen, watch
from hem.cli.check.rules import JUDGES, Finding, Subject
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
from hem.envs.spaces.codec import KEYS, MismatchError, encode, form_of, forms_of, named
from hem.errors import UserError, WorldError, one_line, require
from hem.viz.progress_bar import PATIENCE, Bar

LONGEST = 1000  # steps of an episode that are watched


def examine(env: str, config: Any, episodes: int = 20, quiet: bool = True) -> list[Finding]:
    """Examine an environment; one that is not hem's own in a process of its own, if it has any.

    Args:
        env: its name, as for ``hem train``.
        config: its configuration.
        episodes: random ones to watch.
        quiet: show no progress.

    Raises:
        UserError: there is no such environment.
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
        arguments = (env, dataclasses.replace(config, workers=0), episodes)
        target, name = f"{__name__}:examined", module.origin.short
        try:
            return isolated.call(name, target, arguments, config.patience, bar)
        except UserError as error:
            return [Finding("error", str(error))]


def examined(env: str, config: Any, episodes: int, beat: Beat) -> Iterator[list[Finding]]:
    """Examine an environment in this process; see ``examine``. Whoever has the findings may end it.

    Args:
        env: its name.
        config: its configuration.
        episodes: random ones to watch.
        beat: told before each thing that the environment does.
    """
    module, findings, moment = registry.load("environment", env), [], ""

    def on_progress(share: float, what: str) -> None:
        nonlocal moment
        moment = what
        beat(share, what)

    origin = _origin(module)
    with contextlib.ExitStack() as stack:
        try:
            on_progress(0.0, "in its constructor")
            subject = _subject(module, config)
            stack.callback(_close, subject.env)
            watched = _examine(subject, episodes, findings, on_progress)
            if isinstance(module, EnvAdapter) and len(watched) == episodes:
                survey = stack.enter_context(module.examined(config, on_progress))
                findings += _use(survey, subject, watched)
        except UserError as error:
            findings.append(Finding("error", env_errors.without_remedy(origin, str(error))))
        except (Exception, SystemExit) as error:
            said = env_errors.describe(error, origin)
            findings.append(Finding("error", f"it fails {moment}: {said}"))
        levels = ("error", "warning", "note")
        yield sorted(findings, key=lambda found: levels.index(found.level))


def _examine(subject: Subject, episodes: int, findings: list[Finding], beat: Beat) -> list[Episode]:
    """Look at its spaces, and at random episodes: fewer if what it returns cannot be used."""
    forms_of(subject.env.observation_space, subject.env.action_space)
    findings += _spaces(subject)
    notes = Notes()
    longest = min(subject.horizon or LONGEST, LONGEST)
    compute = None if subject.given else subject.compute
    watched = watch(subject.env, episodes, longest, compute, notes, beat)
    findings += [Finding("error", said) for said in notes.texts()]
    if len(watched) == episodes:
        beat(1.0, "after its random episodes")
        for part in JUDGES:
            findings += part(subject, watched)
    return watched


def _close(env: gymnasium.Env) -> None:
    with contextlib.suppress(Exception, SystemExit):
        env.close()


def text(findings: list[Finding]) -> str:
    """Findings as they are printed, and what they come to."""
    errors = sum(found.level == "error" for found in findings)
    said = [f"{found.level:<9}{one_line(found.text)}" for found in findings]
    wrong = {0: "Nothing is wrong.", 1: "One thing is wrong."}.get(
        errors, f"{errors} things are wrong."
    )
    return "\n".join([*said, wrong])


def _subject(module: Any, config: Any) -> Subject:
    """Make the environment as it is."""
    origin = _origin(module)
    if not isinstance(module, EnvAdapter):
        env = GoalEnv(module.make(config))
        compute = None if env.task.image_goals else Judge(env.compute_reward)
        return Subject(module.NAME, origin, env, compute, env.task.horizon)
    assert isinstance(config, Config)
    made = make_env_slots(EnvSpec(module.origin, config.env_kwargs, config.horizon))
    env = SingleEnvView(made) if isinstance(made, VectorEnv) else made.env
    compute = judge_of(module.origin, made)[1]
    horizon = config.horizon or registered_horizon(made.env)
    given = config.threshold is not None or config.success != ""
    return Subject(module.origin.short, origin, env, compute and Judge(compute), horizon, given)


def _origin(module: Any) -> EnvId:
    return module.origin if isinstance(module, EnvAdapter) else EnvId("gymnasium", "", module.NAME)


def _spaces(subject: Subject) -> Iterator[Finding]:
    """What spaces say by themselves."""
    space = subject.env.observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    if space["achieved_goal"] != space["desired_goal"]:
        yield Finding(
            "warning",
            f"achieved_goal has the space {named(space['achieved_goal'])}, desired_goal "
            f"{named(space['desired_goal'])}: goals taken in hindsight are achieved ones, so they "
            "should be equal",
        )
    if extra := sorted(set(space.spaces) - set(KEYS)):
        yield Finding("note", f"hem does not look at {', '.join(extra)} of the observation")
    form = form_of(space["observation"], "observation")
    seen = "an image" if len(form.shape) == 3 else "numbers"
    yield Finding("note", f"hem sees the observation as {seen}, {form.dtype}{list(form.shape)}")


def _use(survey: EnvInfo, subject: Subject, episodes: list[Episode]) -> Iterator[Finding]:
    """How hem would use it."""
    if subject.compute and subject.compute.error is not None:
        said = env_errors.describe(subject.compute.error, subject.origin)
        yield Finding("error", f"compute_reward fails: {said}; {REMEDY}")
    yield Finding("note", f"success for hem: {survey.verdict.how}")
    try:
        _compare(subject.name, survey, episodes)
    except WorldError as error:
        yield Finding("warning" if survey.verdict.given else "error", str(error))


def _compare(name: str, survey: EnvInfo, episodes: list[Episode]) -> None:
    """Hold hem's success against what the environment said in these episodes.

    Raises:
        WorldError: they contradict one another.
    """
    agreement = Agreement(name, survey.verdict, slots=1)
    with contextlib.suppress(MismatchError):  # which was told already
        for first, *steps in episodes:
            agreement.begin([0], _frames(survey, first))
            for seen in steps:
                agreement.step([0], _frames(survey, seen))


def _frames(survey: EnvInfo, seen: Seen) -> StepResult:
    achieved, desired = (encode(survey.forms.goal, x) for x in (seen.achieved, seen.desired))
    said = {None: UNSAID, True: YES, False: NO}[seen.success]
    row = (achieved, achieved, desired, seen.terminated, seen.over, seen.reward, said)
    return stack([row])
