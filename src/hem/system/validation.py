"""Checks of settings: an invalid one is named like its flag, with its value."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from hem.errors import require

LARGEST = 2**31  # integers of programs must be smaller


def positive(config: object, *names: str) -> None:
    """Raise ``UserError`` unless these are finite numbers greater than 0."""
    for flag, value in _given(config, names):
        require(0 < value < math.inf, f"{flag} must be positive and finite, not {value}")


def at_least(least: int, config: object, *names: str) -> None:
    """Raise ``UserError`` unless these are finite numbers, ``least`` or more."""
    for flag, value in _given(config, names):
        fine = least <= value < math.inf
        require(fine, f"{flag} must be at least {least} and finite, not {value}")


def sizes(config: object, *names: str) -> None:
    """Raise ``UserError`` unless these can be sizes of arrays or lengths of loops."""
    for flag, value in _given(config, names):
        require(1 <= value < LARGEST, f"{flag} must be at least 1 and below 2^31, not {value}")


def counts(config: object, *names: str) -> None:
    """Raise ``UserError`` unless these can be counted down to 0 by a program."""
    for flag, value in _given(config, names):
        require(0 <= value < LARGEST, f"{flag} must be at least 0 and below 2^31, not {value}")


def fractions(config: object, *names: str) -> None:
    """Raise ``UserError`` unless these are numbers from 0 to 1."""
    for flag, value in _given(config, names):
        require(0 <= value <= 1, f"{flag} must be between 0 and 1, not {value}")


def one_of(known: Iterable[str], config: object, *names: str) -> None:
    """Raise ``UserError`` unless these are among the words ``known``."""
    *others, last = known
    for flag, value in _given(config, names):
        words = f"{', '.join(others)} or {last}"
        require(value in (*others, last), f"{flag} must be {words}, not {value!r}")


def layers(config: object, *names: str) -> None:
    """Raise ``UserError`` unless these can be numbers of units per layer."""
    for flag, value in _given(config, names):
        given, fine = " ".join(map(str, value)), all(1 <= n < LARGEST for n in value)
        require(fine, f"{flag} must be at least 1 unit per layer and below 2^31, not {given}")


def shared(workers: int, config: object, *names: str) -> None:
    """Raise ``UserError`` unless these can be divided evenly among workers."""
    for flag, value in _given(config, names):
        fine = value % workers == 0
        require(fine, f"{flag} ({value}) must be a multiple of the number of workers, {workers}")


def unused(where: str, config: Any, *names: str) -> None:
    """Raise ``UserError`` unless these, which have no effect ``where``, have their defaults."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, (flag, value) in zip(names, _given(config, names), strict=True):
        require(value == defaults[name], f"{flag} has no effect {where}: leave out --{flag}")


def _given(config: object, names: Iterable[str]) -> Iterable[tuple]:
    return [(name.replace("_", "-"), getattr(config, name)) for name in names]
