"""Accuracy for each subject of the test split: a mean over people hides whom a network does not understand."""

import re
from collections.abc import Mapping

from ipnet.pairing import answers_of
from ipnet.results import Proportion, wilson
from ipnet.standing import Standing

_SUBJECT = re.compile(r"(subject|user)\d+")  # as the gesture sets name the groups of their clips


def subject_accuracy(standing: Standing) -> Mapping[str, Proportion]:
    """Right answers for each subject, pooled over seeds and both directions; empty if items name no subjects.

    Items are named ``split/group/number``; a group is a subject if it is called ``subject07`` or ``user07``.
    """
    answers: dict[str, list[bool]] = {}
    for result in standing.results:
        for (_, item), right in answers_of(result).items():
            group = item.split("/")[1] if item.count("/") > 1 else ""
            if _SUBJECT.fullmatch(group):
                answers.setdefault(group, []).append(right)
    return {subject: wilson(sum(right), len(right)) for subject, right in sorted(answers.items())}
