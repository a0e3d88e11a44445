"""A virtual laboratory: three instruments that listen on TCP ports of this machine, and a chip behind them.

Each port is a raw SCPI socket: a message ends with a newline, and so does an answer. An instrument serves any
number of connections, one after the other or at once; what it is set to does not depend on them. A slow one
forgets what it has not begun when its client hangs up, so that whoever connects next can ask what was done. The
meter can have a serial line as well.
"""

import contextlib
import os
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from ipnet.errors import IPNetError
from ipnet.virtual_chip import Chip
from ipnet.virtual_faults import Draws, Faults
from ipnet.virtual_generator import WaveformGenerator
from ipnet.virtual_instruments import Wiring
from ipnet.virtual_meter import SourceMeter
from ipnet.virtual_scope import Oscilloscope
from ipnet.virtual_scpi import Interpreter, whole_messages

HOST = "127.0.0.1"
NAMES = ("generator", "meter", "digitiser")


class _Served:
    """An instrument, and what goes wrong between it and its clients."""

    def __init__(self, instrument: Interpreter, draws: Draws, lock: threading.Lock) -> None:
        self.instrument, self.draws, self.lock = instrument, draws, lock

    def reply(self, message: bytes, gone: Callable[[], bool] = lambda: False) -> bytes | None:
        """Carry out a message; what goes back, if anything, and None for a connection that is cut.

        Questions to the laboratory itself have no faults.
        """
        if message.upper().lstrip(b" :").startswith(b"LAB:"):
            with self.lock:
                return self.instrument.execute(message) + b"\n"
        with self.lock:
            trouble = self.draws.next()
        if trouble.slow:
            time.sleep(self.draws.faults.slow_time)
        if trouble.early_drop or (trouble.slow and gone()):
            return None
        with self.lock:
            answer = self.instrument.execute(message, invalid=trouble.nan)
            if answer and trouble.garbled:
                answer = self.draws.garble(answer)
        if trouble.late_drop:
            return None
        return answer + b"\n" if answer and not trouble.silent else b""


class _Port(socketserver.ThreadingTCPServer):
    """The port that an instrument listens on."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, served: _Served) -> None:
        self.served = served
        self.connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Connection)

    def close_all(self) -> None:
        """Hang up on every client."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def server_close(self) -> None:
        """Hang up, and listen no more."""
        self.close_all()
        super().server_close()


class _Connection(socketserver.BaseRequestHandler):
    """A client that talks to an instrument."""

    server: _Port
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.connections.add(self.request)
        buffer = bytearray()
        with contextlib.suppress(OSError):  # a client may vanish at any moment
            while data := self.request.recv(1 << 18):
                self._acknowledge()
                buffer += data
                if not all(self._serve(message) for message in whole_messages(buffer)):
                    break
        self.server.connections.discard(self.request)

    def _acknowledge(self) -> None:
        """At once: a client that sends two commands in a row would wait 40 ms for it."""
        if hasattr(socket, "TCP_QUICKACK"):  # Linux only
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _gone(self) -> bool:
        """Whether the client has hung up, with nothing more to say."""
        try:
            return self.request.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False

    def _serve(self, message: bytes) -> bool:
        """Carry out a message; whether the connection stays."""
        answer = self.server.served.reply(message, self._gone)
        if answer:
            self.request.sendall(answer)
        return answer is not None


class _SerialLine:
    """The serial line of an instrument: a pseudo-terminal, whose other end is a port that a client opens.

    There is no connection that could be cut: what would cut one loses the message, or its answer. Of answers that
    nobody reads, those are lost for which the line has no room.
    """

    def __init__(self, served: _Served) -> None:
        if not hasattr(os, "openpty"):
            raise IPNetError("a virtual serial line needs pseudo-terminals, which this system does not have.")
        import tty  # not on Windows

        self._served, self._over = served, threading.Event()
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.resource = f"ASRL{os.ttyname(self._theirs)}::INSTR"

    def serve_forever(self, poll_interval: float) -> None:
        """Answer, message by message, until it is shut down."""
        buffer = bytearray()
        while not self._over.is_set():
            if not select.select([self._ours], [], [], poll_interval)[0]:
                continue
            buffer += os.read(self._ours, 1 << 16)
            for message in whole_messages(buffer):
                with contextlib.suppress(BlockingIOError):
                    os.write(self._ours, self._served.reply(message) or b"")

    def shutdown(self) -> None:
        """Answer no more."""
        self._over.set()

    def server_close(self) -> None:
        """Take the port away."""
        os.close(self._theirs)
        os.close(self._ours)


class VirtualLab:
    """The instruments of a laboratory, which serve while the context lasts.

    Args:
        chip: what is measured.
        faults: what goes wrong between client and instrument; the chip has its own, see
            `ipnet.virtual_faults.chip_with`.
        ports: of generator, meter and digitiser; 0 stands for any that is free.
        serial: whether the meter has a serial line besides, a pseudo-terminal.

    Attributes:
        resources: the VISA resource string of each instrument, by name; that of the line, if there is one.

    Raises:
        IPNetError: not three ports, or one that is taken; no pseudo-terminals on this system.

    Example:
        >>> with VirtualLab(Chip("mtj-thermal", 1)) as lab:
        ...     lab.resources["meter"].startswith("TCPIP::127.0.0.1::")
        True
    """

    def __init__(
        self, chip: Chip, faults: Faults | None = None, ports: Sequence[int] = (0, 0, 0), *, serial: bool = False
    ) -> None:
        if len(ports) != len(NAMES):
            raise IPNetError(f"a laboratory needs a port each for {', '.join(NAMES)}; got {len(ports)}.")
        self.wiring, lock = Wiring(chip), threading.Lock()
        scope = self.wiring.recorder = Oscilloscope(self.wiring)
        instruments = (WaveformGenerator(self.wiring), SourceMeter(self.wiring), scope)
        served = [_Served(one, Draws(faults or Faults(), stream), lock) for stream, one in enumerate(instruments)]
        self._lines = {"meter": _SerialLine(served[NAMES.index("meter")])} if serial else {}
        self._ports: list[_Port] = []
        for port, one in zip(ports, served, strict=True):
            try:
                self._ports.append(_Port(port, one))
            except (OSError, OverflowError) as error:
                self._release()
                raise IPNetError(f"port {port} cannot be listened on ({error}); name another, or 0.") from error
        self.resources = {name: f"TCPIP::{HOST}::{port}::SOCKET" for name, port in self.ports.items()}
        self.resources |= {name: line.resource for name, line in self._lines.items()}
        self._threads: list[threading.Thread] = []

    @property
    def chip(self) -> Chip:
        """What is measured."""
        return self.wiring.chip

    @property
    def ports(self) -> dict[str, int]:
        """The port of each instrument, by name."""
        return {name: int(port.server_address[1]) for name, port in zip(NAMES, self._ports, strict=True)}

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
        self._release()

    @property
    def _servers(self) -> list[_Port | _SerialLine]:
        return [*self._ports, *self._lines.values()]

    def _release(self) -> None:
        for server in self._servers:
            server.server_close()
