"""What instruments share that speak SCPI."""

import re

from ipnet.errors import IPNetError
from ipnet.instrument import Instrument

_ERROR = re.compile(r'([+-]?\d+)\s*,\s*"?([^"]*)"?')
_QUEUE = 100  # entries; no queue of errors is longer


class Scpi(Instrument):
    """An instrument that keeps a queue of errors as SCPI-99 says (volume 2, :SYSTem:ERRor)."""

    def errors(self) -> list[str]:
        """Ask for the next error until there is none."""
        found: list[str] = []
        for _ in range(_QUEUE):
            reply = self._ask(":SYST:ERR?")
            match = _ERROR.fullmatch(reply)
            if not match:
                raise self._garbled(":SYST:ERR?", reply)
            if int(match[1]) == 0:
                return found
            found.append(f"{int(match[1])} {match[2]}")
        raise IPNetError(
            f"the {self.name()} must run out of errors; got {_QUEUE}, the last '{found[-1]}': restart it."
        )

    def _complete(self) -> None:
        """Wait until all that was sent is done."""
        if (reply := self._ask("*OPC?")).lstrip("+") != "1":
            raise self._garbled("*OPC?", reply)
