"""Where Minari datasets are on this machine, and opening one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hem.errors import UserError, one_line, require
from hem.system.packages import is_installed
from hem.system.parsing import read_json

if TYPE_CHECKING:
    from minari import MinariDataset

MINARI = "Minari is not installed: run `pip install 'hindsight-em[minari]'`"
METADATA = "metadata.json"
MOST_LISTED = 20


def require_minari() -> None:
    """Raise ``UserError``, naming the extra, unless Minari and HDF5 for it are installed."""
    # Without h5py, Minari itself notices only when it opens a file.
    require(is_installed("minari") and is_installed("h5py"), MINARI)


def root() -> Path:
    """The folder of all local datasets; ``MINARI_DATASETS_PATH`` sets another one.

    Raises:
        UserError: it cannot be created.
    """
    from minari.storage import get_dataset_path  # noqa: PLC0415

    try:
        return get_dataset_path()
    except OSError as error:
        raise UserError(
            f"there can be no folder of Minari datasets ({one_line(str(error))}): set "
            "MINARI_DATASETS_PATH"
        ) from error


def local_names() -> list[str]:
    """The names of all local datasets, whether or not they are intact."""
    found = root().glob(f"**/data/{METADATA}")
    return sorted(file.parents[1].relative_to(root()).as_posix() for file in found)


def find(name: str) -> Path:
    """The folder with the data of a local dataset.

    Args:
        name: of the dataset, or its folder.

    Raises:
        UserError: there is none; the message lists the local ones.
    """
    try:
        for place in (root() / name / "data", Path(name) / "data", Path(name)):
            if name and (place / METADATA).is_file():
                return place.resolve()
    except OSError as error:  # such as a name that is too long for one
        raise UserError(
            f"the Minari dataset {name!r} cannot be looked up: {error.strerror or error}"
        ) from error
    known = local_names()
    nearest = difflib.get_close_matches(name, known, n=MOST_LISTED, cutoff=0.0)
    listed = ", ".join(nearest) + (", ..." if len(nearest) < len(known) else "")
    local = f"use one of {listed}" if known else f"{root()} has none"
    raise UserError(
        f"there is no Minari dataset {name!r} on this machine: {local}; give its folder, or fetch "
        "it first with `minari download NAME`"
    )


def open_dataset(folder: Path) -> MinariDataset:
    """A dataset, ready to be read.

    Raises:
        UserError: it is damaged, or from another version of Minari.
    """
    from minari import MinariDataset  # noqa: PLC0415

    metadata = read_json(folder / METADATA, dict[str, Any])
    # Without them, Minari would run the code of an environment that the file names.
    lacking = [key for key in ("observation_space", "action_space") if key not in metadata]
    require(not lacking, f"{folder / METADATA} has no {' and no '.join(lacking)}: record it again")
    with damage_named(folder):
        return MinariDataset(folder)


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Whatever reading a stranger's dataset leads to, as one line."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        said = one_line(f"{type(error).__name__}: {error}", 300)
        raise UserError(f"the Minari dataset {folder} cannot be read: {said}") from error
