"""Downloads from the hub, each failure as one message with the next step. Nothing else opens a connection."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labs_src.models.hub import Unavailable, cache


def snapshot(repository: str, patterns: list[str]) -> Path:
    """A repository's files into the cache, for a repository whose licence must be accepted; returns the snapshot.

    Raises:
        Unavailable: no token, token refused, licence not accepted, no network, or the hub's own trouble.
    """
    from huggingface_hub import get_token, snapshot_download

    if not get_token():
        raise Unavailable(
            f"{repository} needs a Hugging Face token, and there is none.",
            f"Accept the licence at https://huggingface.co/{repository}, then run: .venv/bin/hf auth login.",
        )
    return Path(_fetched(repository, lambda **kw: snapshot_download(repository, allow_patterns=patterns, **kw)))


def file(repository: str, inside: str) -> Path:
    """One file into the cache, from a repository that is open to all.

    Raises:
        Unavailable: no network, or the hub's own trouble.
    """
    from huggingface_hub import snapshot_download

    # one file through snapshot_download, which finds out at once that there is no network
    folder = _fetched(repository, lambda **kw: snapshot_download(repository, allow_patterns=[inside], **kw))
    if not (Path(folder) / inside).is_file():
        raise Unavailable(f"{repository} has no file {inside} any more.", "Look for its new place there.")
    return Path(folder) / inside


def _fetched(repository: str, call: Callable[..., str]) -> str:
    from huggingface_hub import errors

    try:
        with _online():
            return call(cache_dir=cache(), endpoint=os.environ.get("HF_ENDPOINT"))
    except KeyboardInterrupt:
        raise
    except errors.GatedRepoError as error:
        if _status(error) == 401:
            raise _refused(repository) from None
        raise Unavailable(
            f"The licence of {repository} has not been accepted by the account that the token belongs to.",
            f"Open https://huggingface.co/{repository}, log in, accept it, and run this again (a fine-grained token "
            "must also be allowed to read gated repositories).",
        ) from None
    except Exception as error:  # the library's exceptions come from several packages and change with its version
        raise _explained(repository, error) from None


def _explained(repository: str, error: Exception) -> Unavailable:
    from huggingface_hub import errors

    status = _status(error)
    if status in (401, 403):
        return _refused(repository)
    absent = f"{repository} is not on this machine"
    if isinstance(error, errors.OfflineModeIsEnabled) or "HF_HUB_OFFLINE" in str(error):
        return Unavailable(f"{absent}, and HF_HUB_OFFLINE is set.", "Unset it, run this again.")
    unanswered = status is None and isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError)
    if unanswered or _cut(error):
        return Unavailable(
            f"{absent}, and there is no network connection to the hub.",
            "Connect and run this again (what has arrived is kept), or set LABS_GEMMA to a folder with the files.",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Unavailable(f"The disk was full while {repository} was being downloaded.", "Free space, run this again.")
    said = str(error).splitlines()[0] if str(error) else ""
    kind = f"status {status}" if status else f"{type(error).__name__}: {said}"
    return Unavailable(f"{repository} could not be downloaded ({kind}).", "Try again later.")


def _refused(repository: str) -> Unavailable:
    return Unavailable(
        f"The hub does not accept the token that is set here, when asked for {repository}.",
        "Make a new one at https://huggingface.co/settings/tokens, then run: .venv/bin/hf auth login.",
    )


def _cut(error: Exception) -> bool:
    """Whether an exception of the HTTP library says that no connection could be made or kept."""
    cut = {"ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "NetworkError"}
    return any(cls.__name__ in cut for cls in type(error).__mro__)


def _status(error: Any) -> int | None:
    """Status of the answer that an exception, or its cause, was made from."""
    while error is not None:
        if (status := getattr(getattr(error, "response", None), "status_code", None)) is not None:
            return int(status)
        error = error.__cause__
    return None


@contextmanager
def _online() -> Iterator[None]:
    """Loading a shipped model keeps the hub's library offline; undo that here, unless a person asked for it."""
    from huggingface_hub import constants

    from labs_src import models

    before = constants.HF_HUB_OFFLINE
    if not models.OFFLINE_ASKED:
        constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
