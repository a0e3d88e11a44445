"""Where the files of a data set are that the user keeps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipnet.errors import IPNetError

_VARIABLE = "IPNET_DATA"


@contextmanager
def recordings_in(root: Path | None) -> Iterator[None]:
    """Let data sets look for their recordings in `root` instead of ``IPNET_DATA``; None changes nothing.

    Raises:
        IPNetError: no such folder.
    """
    if root is None:
        yield
        return
    if not root.is_dir():
        raise IPNetError(f"the recordings must be in a folder; '{root}' is none: check the path after --root.")
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def given_folder(what: str, root: str | Path | None) -> Path:
    """The folder that the user gave: `root`, otherwise ``IPNET_DATA``.

    Raises:
        IPNetError: neither was given.
    """
    given = root or os.environ.get(_VARIABLE)
    if not given:
        raise IPNetError(
            f'{what} needs its recordings: set IPNET_DATA to their folder, or give --root, or root = "..." under '
            "[data]."
        )
    return Path(given)


def find_folder(what: str, root: str | Path | None, inside: str, marks: tuple[str, ...]) -> Path:
    """The folder of a data set: the folder `inside` `root` or ``IPNET_DATA``, otherwise that folder itself.

    Args:
        what: name of the data set, for messages.
        root: as the user gave it; None takes ``IPNET_DATA``.
        inside: the usual name of the folder.
        marks: patterns of files that it must hold.

    Raises:
        IPNetError: neither was given, or the files are in neither place.
    """
    given = given_folder(what, root)
    for folder in (given / inside, given):
        if all(any(folder.glob(mark)) for mark in marks):
            return folder
    raise IPNetError(f"no {what} in '{given}': it, or '{inside}' in it, must hold {' and '.join(marks)}.")
