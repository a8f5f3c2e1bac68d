"""``hem check``: an environment is examined, and what is wrong is said in plain words.

It is looked at as it is, without hem in between: spaces, then random episodes (``watch.py``), then
how hem would tell success. Every finding says what to do, where that is not plain.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import gymnasium

from hem import registry
from hem.bar import PATIENCE, Bar
from hem.envs.gymnasium import failure, word
from hem.envs.gymnasium.agreement import Agreement
from hem.envs.gymnasium.door import Config, Door, horizon_of
from hem.envs.gymnasium.row import Row
from hem.envs.gymnasium.source import Origin, Plan
from hem.envs.gymnasium.stage import Frames, stack
from hem.envs.gymnasium.stages import open_stage
from hem.envs.gymnasium.survey import Survey, judge_of, registered_horizon
from hem.envs.gymnasium.vector import Vector
from hem.errors import UserError, WorldError, one_line, require
from hem.findings import JUDGES, Finding, Subject
from hem.gym import GoalEnv
from hem.spaces import KEYS, MismatchError, encode, form_of, forms_of, named
from hem.watch import Episode, Notes, Seen, watch

LONGEST = 1000  # steps of an episode that are watched


def examine(env: str, config: Any, episodes: int = 20, quiet: bool = True) -> list[Finding]:
    """Examine an environment.

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
    try:
        subject = _subject(module, config)
    except UserError as error:
        return [Finding("error", str(error))]
    try:
        try:
            forms_of(subject.env.observation_space, subject.env.action_space)
        except UserError as error:
            return [Finding("error", str(error))]
        findings = list(_spaces(subject))
        try:
            watched = _episodes(subject, episodes, quiet, findings)
        except Exception as error:
            said = failure.describe(error, subject.origin)
            return [*findings, Finding("error", f"it fails in a random episode: {said}")]
    finally:
        subject.env.close()
    if isinstance(module, Door) and len(watched) == episodes:
        findings += _use(module, config, watched)
    return sorted(findings, key=lambda found: ("error", "warning", "note").index(found.level))


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
    if not isinstance(module, Door):
        env = GoalEnv(module.make(config))
        compute = None if env.task.shows_goals else env.compute_reward
        origin = Origin("gymnasium", "", module.NAME)
        return Subject(module.NAME, origin, env, compute, env.task.horizon)
    assert isinstance(config, Config)
    made = open_stage(Plan(module.origin, config.env_kwargs, config.horizon))
    env = Row(made) if isinstance(made, Vector) else made.env
    compute = judge_of(module.origin, made)[1]
    horizon = config.horizon or registered_horizon(made.env)
    return Subject(module.origin.short, module.origin, env, compute, horizon)


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
    seen = "a picture" if len(form.shape) == 3 else "numbers"
    yield Finding("note", f"hem sees the observation as {seen}, {form.dtype}{list(form.shape)}")


def _episodes(subject: Subject, number: int, quiet: bool, findings: list[Finding]) -> list[Episode]:
    """Watch random episodes, fewer if what it returns cannot be used."""
    notes = Notes()
    longest = min(subject.horizon or LONGEST, LONGEST)
    patience = math.inf if quiet else PATIENCE
    with Bar(f"Random episodes of {subject.name}", patience=patience) as bar:
        episodes = watch(subject.env, number, longest, subject.compute, notes, bar)
    findings += [Finding("error", said) for said in notes.texts()]
    if len(episodes) == number:
        for part in JUDGES:
            findings += part(subject, episodes)
    return episodes


def _use(module: Door, config: Config, episodes: list[Episode]) -> Iterator[Finding]:
    """How hem would use it."""
    try:
        survey = module.look(config)
    except UserError as error:
        yield Finding("error", str(error))
        return
    yield Finding("note", f"success for hem: {survey.verdict.how}")
    try:
        _compare(module.origin.short, survey, episodes)
    except WorldError as error:
        yield Finding("warning" if survey.verdict.given else "error", str(error))
    try:
        horizon_of(module.origin, config, survey)
    except UserError:
        return  # said already


def _compare(name: str, survey: Survey, episodes: list[Episode]) -> None:
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


def _frames(survey: Survey, seen: Seen) -> Frames:
    achieved, desired = (encode(survey.forms.goal, x) for x in (seen.achieved, seen.desired))
    said = {None: word.UNSAID, True: word.YES, False: word.NO}[seen.success]
    row = (achieved, achieved, desired, seen.terminated, seen.over, seen.reward, said)
    return stack([row])
