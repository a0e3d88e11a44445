"""Where the files of a data set are that the user keeps."""

import os
from pathlib import Path

from ipnet.errors import IPNetError


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
    given = root or os.environ.get("IPNET_DATA")
    if not given:
        raise IPNetError(
            f'{what} needs its recordings: set IPNET_DATA to their folder, or give root = "..." under [data].'
        )
    for folder in (Path(given) / inside, Path(given)):
        if all(any(folder.glob(mark)) for mark in marks):
            return folder
    raise IPNetError(f"no {what} in '{given}': it, or '{inside}' in it, must hold {' and '.join(marks)}.")
