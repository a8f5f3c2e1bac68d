"""Gymnasium spaces as plain data, so that they can be saved to a file. No JAX here.

``describe`` and ``build`` are inverses. Both reject spaces that are too large to work with: a short
file can describe a space that fills all memory.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from gymnasium import spaces

MOST_NUMBERS = 10_000_000  # of a value, as a network sees it
MOST_PARTS = 1_000  # dicts, tuples and their elements
DEEPEST = 20  # levels of nesting

Whole = Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
Number = Literal["bool", "float16", "float32", "float64", Whole]
Size = Annotated[int, msgspec.Meta(ge=0)]
Shape = Annotated[tuple[Size, ...], msgspec.Meta(max_length=64)]  # as in NumPy
Bound = int | float | None  # None: unbounded


class SpaceError(ValueError):
    """A space that hem cannot use; the message continues "a space, which"."""


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="space"):
    """A space."""


class BoxData(_Data, frozen=True, tag="box"):
    """Numbers within bounds: a common bound, or a list with one for each."""

    shape: Shape
    dtype: Number
    low: Bound | list[Bound]
    high: Bound | list[Bound]


class DiscreteData(_Data, frozen=True, tag="discrete"):
    """One of n integers."""

    n: Size
    start: int
    dtype: Whole


class MultiDiscreteData(_Data, frozen=True, tag="multi_discrete"):
    """Several discrete values."""

    shape: Shape
    n: list[Size]
    start: list[int]
    dtype: Whole


class MultiBinaryData(_Data, frozen=True, tag="multi_binary"):
    """Bits."""

    n: Size | Shape


class DictData(_Data, frozen=True, tag="dict"):
    """Named spaces, in order."""

    parts: dict[str, SpaceData]


class TupleData(_Data, frozen=True, tag="tuple"):
    """A sequence of spaces."""

    parts: list[SpaceData]


class OneOfData(_Data, frozen=True, tag="one_of"):
    """Alternative spaces; each value is in one of them."""

    parts: list[SpaceData]


Leaf = BoxData | DiscreteData | MultiDiscreteData | MultiBinaryData
SpaceData = Leaf | DictData | TupleData | OneOfData


def describe(space: Any) -> SpaceData:
    """A space as plain data.

    Raises:
        SpaceError: it has no fixed size, or is too large.
    """
    return _checked(_data(space))


def build(data: SpaceData) -> spaces.Space:
    """The space that was described.

    Raises:
        SpaceError: it is too large.
        ValueError: Gymnasium rejects it; it may also raise other errors.
    """
    with np.errstate(all="raise"):  # for a bound that its dtype cannot hold
        return _space(_checked(data))


def size(data: SpaceData) -> int:
    """The number of a value's numbers, as a network sees it."""
    match data:
        case BoxData():
            return math.prod(data.shape)
        case DiscreteData():
            return data.n
        case MultiDiscreteData():
            return sum(data.n)
        case MultiBinaryData():
            return math.prod(data.n if isinstance(data.n, tuple) else (data.n,))
        case OneOfData():
            return 1 + max(map(size, data.parts), default=0)
    return sum(map(size, _inside(data)))


def _data(space: Any) -> SpaceData:
    match space:
        case spaces.Box():
            low, high = (_bounds(bound) for bound in (space.low, space.high))
            return _typed(BoxData, space.shape, space.dtype.name, low, high)
        case spaces.Discrete():
            return _typed(DiscreteData, int(space.n), int(space.start), space.dtype.name)
        case spaces.MultiDiscrete():
            n, start = (np.ravel(x).tolist() for x in (space.nvec, space.start))
            return _typed(MultiDiscreteData, space.shape, n, start, space.dtype.name)
        case spaces.MultiBinary():
            n = space.n if isinstance(space.n, int) else tuple(map(int, space.n))
            return _typed(MultiBinaryData, n)
        case spaces.Dict() if space.spaces and all(isinstance(key, str) for key in space.spaces):
            return DictData({key: _data(part) for key, part in space.spaces.items()})
        case spaces.Tuple() if space.spaces:
            return TupleData([_data(part) for part in space.spaces])
        case spaces.OneOf() if space.spaces:
            return OneOfData([_data(part) for part in space.spaces])
    raise SpaceError(
        "has no fixed size: use a Box, Discrete, MultiBinary or MultiDiscrete, or a Dict with "
        "string keys or a Tuple of these"
    )


def _space(data: SpaceData) -> spaces.Space:
    match data:
        case BoxData():
            dtype = np.dtype(data.dtype).type
            low = _array(data.low, -math.inf, data)
            return spaces.Box(low, _array(data.high, math.inf, data), data.shape, dtype)
        case DiscreteData():
            return spaces.Discrete(data.n, start=data.start, dtype=np.dtype(data.dtype).type)
        case MultiDiscreteData():
            n, start = (np.array(x).reshape(data.shape) for x in (data.n, data.start))
            return spaces.MultiDiscrete(n, np.dtype(data.dtype).type, start=start)
        case MultiBinaryData():
            return spaces.MultiBinary(data.n)
        case DictData():
            # A list of pairs keeps its order; a dict would be sorted.
            return spaces.Dict([(key, _space(part)) for key, part in data.parts.items()])
        case TupleData():
            return spaces.Tuple([_space(part) for part in data.parts])
        case OneOfData():
            return spaces.OneOf([_space(part) for part in data.parts])


def _checked(data: SpaceData) -> SpaceData:
    if _depth(data) > DEEPEST:
        raise SpaceError(f"is nested too deeply: hem supports up to {DEEPEST} levels")
    if _parts(data) > MOST_PARTS:
        raise SpaceError(f"has too many parts: hem supports up to {MOST_PARTS:,}")
    if size(data) > MOST_NUMBERS:
        raise SpaceError(f"is too large: hem supports up to {MOST_NUMBERS:,} numbers")
    return data


def _parts(data: SpaceData) -> int:
    return 1 + sum(map(_parts, _inside(data)))


def _depth(data: SpaceData) -> int:
    return 1 + max(map(_depth, _inside(data)), default=0)


def _inside(data: SpaceData) -> list[SpaceData]:
    if isinstance(data, DictData):
        return list(data.parts.values())
    return data.parts if isinstance(data, (TupleData, OneOfData)) else []


def _typed(kind: type[Leaf], *values: Any) -> Any:
    """Data of the types that a file may have."""
    fields = dict(zip(kind.__struct_fields__, values, strict=True))
    try:
        return msgspec.convert(fields | {"space": kind.__struct_config__.tag}, kind)
    except msgspec.ValidationError as error:
        raise SpaceError(f"has a dtype that hem does not support ({error})") from error


def _bounds(bound: np.ndarray) -> Bound | list[Bound]:
    bound = (bound.astype(np.uint8) if bound.dtype.kind == "b" else bound).ravel()
    same = bound.size > 0 and bool((bound == bound[0]).all())
    each: list[Bound] = [
        x if math.isfinite(x) else None for x in (bound[:1] if same else bound).tolist()
    ]
    return each[0] if same else each


def _array(bound: Bound | list[Bound], unbounded: float, data: BoxData) -> np.ndarray:
    if not isinstance(bound, list):
        return np.full(data.shape, unbounded if bound is None else bound, data.dtype)
    each = [unbounded if x is None else x for x in bound]
    return np.array(each, data.dtype).reshape(data.shape)
