"""The cache on disk: each entry is named by the content it was computed from, and written whole or not at all."""

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipnet.errors import IPNetError

TEMPORARY = ".writing-*"  # the files that `write_atomically` has not finished


def cache_folder() -> Path:
    """Where computed data are kept: ``IPNET_CACHE``, else ``ipnet`` in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ipnet"
    return Path(os.environ.get("IPNET_CACHE", default))


def content_hash(*parts: Any) -> str:
    """A short SHA-256 of JSON-serialisable parts: equal content, equal name, on every machine.

    Example:
        >>> content_hash("a", {"b": 1}) == content_hash("a", {"b": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: a reader sees all of it or nothing.

    Raises:
        IPNetError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".writing-{os.getpid()}-{threading.get_ident()}-{path.name}")
        temporary.touch()
    except OSError as error:
        raise IPNetError(
            f"the folder '{path.parent}' must be writable ({error.strerror}); choose another one."
        ) from error
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def cached_array(key: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The array stored under `key`, mapped from disk; computed and stored first if it is missing or damaged.

    Args:
        key: relative path without suffix; make it from `content_hash`.
        compute: called with no argument when there is no readable entry.
    """
    path = cache_folder() / f"{key}.npy"
    try:
        stored: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return stored
    except (OSError, ValueError, EOFError):
        array = compute()
        write_atomically(path, lambda temporary: np.save(temporary, array, allow_pickle=False))
        return array
