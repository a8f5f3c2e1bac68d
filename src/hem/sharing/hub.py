"""A run as a model repository on the Hugging Face Hub, in one commit."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hem.errors import UserError, require
from hem.runs import checkpoint, run_folder
from hem.runs.policy_file import load_policy
from hem.runs.run import Run
from hem.sharing.card import card
from hem.system.conversion import checked
from hem.system.packages import is_installed

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# With the card, its film and its curve, what is pushed.
FILES = ("policy.safetensors", "policy.json", "config.json", "metrics.jsonl")
CHECKPOINTS = "checkpoints"
LOGIN = "run `hf auth login`, or set HF_TOKEN"


@checked
def push(
    run: Any,
    repo: str,
    private: bool = False,
    message: str | None = None,
    episodes: int = 200,
    seed: int = 0,
    trust: bool = False,
    checkpoints: bool = False,
    done: Any = lambda share: None,
) -> str:
    """Push a run to the Hugging Face Hub, in one commit: policy, model card, settings and metrics.

    Args:
        run: a run or its folder.
        repo: the repository, ``OWNER/NAME``; it is created if it does not exist.
        private: create it as a private one.
        message: the message of the commit.
        episodes: number of episodes of the card's evaluation.
        seed: their seed.
        trust: allow environment code that the run's configuration names.
        checkpoints: push checkpoints with their replay buffers, too, so that others can resume it.
        done: called with the share of the card that is done, 0 to 1.

    Returns:
        The address of the repository.

    Raises:
        UserError: the Hub cannot be reached or refuses, or as in ``hem.card``. A repository that
            was created for it stays.
    """
    api = _hub(repo)
    run = run if isinstance(run, Run) else Run(Path(run), trust)
    with _errors(repo):
        api.whoami()  # before what takes time
    load_policy(run.folder)  # also here, where an error names the file that the user knows
    with tempfile.TemporaryDirectory() as made, _unchanging(run, checkpoints):
        folder = Path(made)
        for name in _copied(run.folder, checkpoints):
            _copy(run.folder, name, folder)
        pushed = Run(folder, run.code is not None, run.objects)  # trusted if that was
        card(pushed, folder / "README.md", episodes, seed, repo=repo, done=done)
        with _errors(repo):
            return _pushed(api, folder, repo, private, message or "Add the policy of a run of hem")


def _pushed(api: HfApi, folder: Path, repo: str, private: bool, message: str) -> str:
    """Create the repository if there is none, and add the files of ``folder`` in one commit."""
    from huggingface_hub import CommitOperationAdd  # noqa: PLC0415

    url = api.create_repo(repo, private=private or None, exist_ok=True)
    is_public = private and not api.model_info(repo).private
    require(not is_public, f"{repo} is public: leave out --private, or use another name")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    adds = [CommitOperationAdd(str(path.relative_to(folder)), path) for path in files]
    api.create_commit(repo, operations=adds, commit_message=message)
    return str(url)


def _hub(repo: str) -> HfApi:
    """The Hub, for a repository with a valid name."""
    require(
        is_installed("huggingface_hub"),
        "huggingface_hub is not installed: run `pip install 'hindsight-em[hub]'`",
    )
    from huggingface_hub import HfApi  # noqa: PLC0415  half a second
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415
    from huggingface_hub.utils import disable_progress_bars, validate_repo_id  # noqa: PLC0415

    wrong = f"{repo!r} is not the name of a repository: use OWNER/NAME, such as me/flip-bit"
    require(repo.count("/") == 1, wrong)
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(wrong) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    return HfApi(library_name="hem")


@contextmanager
def _errors(repo: str) -> Iterator[None]:
    """Errors of the Hub, in a line that says what to do; the token is in none of them."""
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub.errors import (  # noqa: PLC0415
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        yield
    except UserError:
        raise
    except LocalTokenNotFoundError as error:
        raise UserError(f"you are not logged in to the Hugging Face Hub: {LOGIN}") from error
    except OfflineModeIsEnabled as error:
        raise UserError("HF_HUB_OFFLINE is set: unset it to push") from error
    except HfHubHTTPError as error:
        raise UserError(_refusal(repo, error.response.status_code, error)) from error
    except HTTPError as error:
        raise UserError(f"cannot reach the Hugging Face Hub ({error}): try again later") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"nothing was pushed to {repo}: {error.__cause__ or error}") from error


def _refusal(repo: str, status: int, error: Any) -> str:
    if status == 401:
        return f"the Hugging Face Hub does not accept your token: {LOGIN}"
    if status in (403, 404):
        return (
            f"you may not write to {repo}: use your own name or your organization's, and a token "
            "that may write"
        )
    return f"the Hugging Face Hub refused {repo}: {error.server_message or f'status {status}'}"


def _copied(folder: Path, checkpoints: bool) -> list[str]:
    """The files of a run that are pushed, by their place in it."""
    if not checkpoints:
        return [*FILES]
    saved = folder / CHECKPOINTS
    below = [path for complete in checkpoint.listed(saved) for path in complete.rglob("*")]
    more = [*below, *saved.glob(checkpoint.BEST)]
    return [*FILES, *(str(path.relative_to(folder)) for path in sorted(more))]


def _copy(source: Path, name: str, target: Path) -> None:
    """Copy a file of a run; a link may lead to a file that is to stay private."""
    file = source / name
    links = [path for path in (file, *file.parents) if path.is_relative_to(source)]
    require(
        not any(path.is_symlink() for path in links if path != source),
        f"{file} is a symbolic link, which is not pushed: replace it with the file itself",
    )
    require(file.is_file(), f"there is no file {file}: train the run first")
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target / name)


def _unchanging(run: Run, checkpoints: bool) -> Any:
    """While checkpoints are copied, nobody may train the run."""
    return run_folder.held(run.folder, run.continuation) if checkpoints else nullcontext()
