"""What the offline sessions of a W&B run have kept: W&B itself reads it only to send it.

A ``.wandb`` file begins with 7 bytes of its own. Then it is a log in LevelDB's format: blocks of
32 KiB with records in pieces, each piece after 4 bytes of checksum, 2 of length and 1 of kind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, PIECE = 7, 2**15, struct.Struct("<IHB")
WHOLE, LAST = 1, 4  # kinds of pieces that complete a record


def last_iteration(folder: Path, run_id: str) -> int:
    """The last iteration in the offline sessions of a run; 0 if there is none.

    Args:
        folder: where W&B keeps its sessions, a folder each.
        run_id: the run's id.
    """
    files = folder.glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
    return max((i for file in files for i in _iterations(file.read_bytes())), default=0)


def _iterations(data: bytes) -> Iterator[int]:
    from wandb.proto.wandb_internal_pb2 import (  # noqa: PLC0415
        Record,  # pyright: ignore[reportAttributeAccessIssue]  created on import
    )

    for text in _records(data):
        items: Any = Record.FromString(text).history.item
        found = (
            x.value_json
            for x in items
            if [x.key, *x.nested_key] in (["iteration"], ["", "iteration"])
        )
        yield from (int(json.loads(value)) for value in found)


def _records(data: bytes) -> Iterator[bytes]:
    """The complete records; a killed process may leave a part of one at the end."""
    at, record = HEADER, b""
    while at + PIECE.size <= len(data):
        if (left := BLOCK - at % BLOCK) < PIECE.size:
            at += left
            continue
        _, length, kind = PIECE.unpack_from(data, at)
        at += PIECE.size
        if kind == 0 or at + length > len(data):
            return
        record += data[at : at + length]
        at += length
        if kind in (WHOLE, LAST):
            yield record
            record = b""
