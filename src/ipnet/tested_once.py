"""The test split of a run is asked one question, once."""

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ipnet.cache import content_hash, write_atomically
from ipnet.config import Run
from ipnet.errors import IPNetError

TESTED_FILE = "tested"


def claim_test(folder: Path, run: Run, fingerprint: str, weights: dict[str, Tensor]) -> None:
    """Write down what the test split of a run will be asked, before it is, and refuse to ask it anything else.

    The question is a hash of configuration, data and selected weights. A run that was killed between its test and
    its result asks again: the same weights give the same answer, so nothing more is learnt from the test split and
    nothing can be chosen by it. Other weights in the same folder could be, and are refused, also when the result
    was removed.

    Args:
        folder: of the run; receives the file ``tested``.
        run: the configuration.
        fingerprint: of the data.
        weights: selected on the validation split, by name, contiguous.

    Raises:
        IPNetError: the test split was asked something else before, or the folder cannot be written.
    """
    digest = hashlib.sha256(save({name: weight.cpu() for name, weight in weights.items()})).hexdigest()
    question = content_hash(run.model_dump(mode="json"), fingerprint, digest)
    path = folder / TESTED_FILE
    if path.exists() and path.read_text("utf-8") != question:
        raise IPNetError(
            f"the test split must be touched once per run; '{path}' says that other weights, data or settings "
            "were tested in this folder: choose another output folder."
        )
    write_atomically(path, lambda temporary: temporary.write_text(question, "utf-8"))
