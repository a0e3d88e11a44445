"""The text header that Prophesee's files begin with, and the sensors of its cameras.

References:
    https://docs.prophesee.ai/stable/data/file_formats/raw.html and dat.html; sensors by plug-in: OpenEB's list.
"""

import re

from ipnet.recording._account import Refused

# (H, W) by the sensor generation in the plug-in's name; every camera of a generation has the same sensor.
_GENERATIONS = {
    "gen3": (480, 640),
    "gen31": (480, 640),
    "gen4": (720, 1280),
    "gen41": (720, 1280),
    "imx636": (720, 1280),
}


def read_header(head: bytes) -> tuple[dict[str, str], int]:
    r"""The keywords of the lines that begin with ``% ``, in lower case, and where they end.

    Example:
        >>> read_header(b"% evt 2.0\n% end\nrest")
        ({'evt': '2.0', 'end': ''}, 16)
    """
    fields: dict[str, str] = {}
    start = 0
    while (line := re.compile(rb"%(?: ([\t -~]*))?\r?\n").match(head, start)) and "end" not in fields:
        keyword, _, value = (line[1] or b"").decode("ascii").strip().partition(" ")
        fields[keyword.lower()] = value.strip()
        start = line.end()
    return fields, start


def stated_sensor(fields: dict[str, str]) -> tuple[int, int] | None:
    """(H, W) from ``geometry``, ``width`` and ``height``, ``format``, or the name of the camera's plug-in."""
    if found := re.fullmatch(r"(\d{1,9})x(\d{1,9})", fields.get("geometry", "")):
        return int(found[2]), int(found[1])
    options = dict(part.split("=", 1) for part in fields.get("format", "").split(";") if "=" in part)
    height, width = (fields.get(side, options.get(side, "")) for side in ("height", "width"))
    if re.fullmatch(r"\d{1,9}", height) and re.fullmatch(r"\d{1,9}", width):
        return int(height), int(width)
    generation = re.match(r"hal_plugin_(gen\d+|imx\d+)_", fields.get("plugin_name", ""))
    return _GENERATIONS.get(generation[1]) if generation else None


def encoding(fields: dict[str, str]) -> str:
    """``"EVT2"``, ``"EVT3"``, or what else the header names; empty if it names nothing."""
    if "format" in fields:
        return fields["format"].partition(";")[0].upper()
    return {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}.get(fields.get("evt", ""), "")


def refuse_reserved(refused: Refused, count: int, at_byte: int) -> None:
    """Put `count` words of types that no camera writes on the account, the first of them at a byte."""
    if count:
        refused.add("of a reserved type", count, at_byte, "words must be of a known type", "word")
