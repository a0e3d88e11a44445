"""A virtual laboratory: three instruments that listen on TCP ports of this machine, and a chip behind them.

Each port is a raw SCPI socket: a message ends with a newline, and so does an answer. An instrument serves any
number of connections, one after the other or at once; what it is set to does not depend on them. A slow one
forgets what it has not begun when its client hangs up, so that whoever connects next can ask what was done.
"""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Sequence
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


class _Port(socketserver.ThreadingTCPServer):
    """One instrument and the port that it listens on."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, instrument: Interpreter, draws: Draws, lock: threading.Lock) -> None:
        self.instrument, self.draws, self.lock = instrument, draws, lock
        self.connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Connection)

    def close_all(self) -> None:
        """Hang up on every client."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


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
        """Carry out a message; whether the connection stays. Questions to the laboratory itself have no faults."""
        server = self.server
        if message.upper().lstrip(b" :").startswith(b"LAB:"):
            with server.lock:
                self.request.sendall(server.instrument.execute(message) + b"\n")
            return True
        with server.lock:
            trouble = server.draws.next()
        if trouble.slow:
            time.sleep(server.draws.faults.slow_time)
        if trouble.early_drop or (trouble.slow and self._gone()):
            return False
        with server.lock:
            answer = server.instrument.execute(message, invalid=trouble.nan)
            if answer and trouble.garbled:
                answer = server.draws.garble(answer)
        if trouble.late_drop:
            return False
        if answer and not trouble.silent:
            self.request.sendall(answer + b"\n")
        return True


class VirtualLab:
    """The instruments of a laboratory, which serve while the context lasts.

    Args:
        chip: what is measured.
        faults: what goes wrong between client and instrument; the chip has its own, see
            `ipnet.virtual_faults.chip_with`.
        ports: of generator, meter and digitiser; 0 stands for any that is free.

    Attributes:
        resources: the VISA resource string of each instrument, by name.

    Raises:
        IPNetError: not three ports, or one that is taken.

    Example:
        >>> with VirtualLab(Chip("mtj-thermal", 1)) as lab:
        ...     lab.resources["meter"].startswith("TCPIP::127.0.0.1::")
        True
    """

    def __init__(self, chip: Chip, faults: Faults | None = None, ports: Sequence[int] = (0, 0, 0)) -> None:
        if len(ports) != len(NAMES):
            raise IPNetError(f"a laboratory needs a port each for {', '.join(NAMES)}; got {len(ports)}.")
        self.wiring, lock = Wiring(chip), threading.Lock()
        scope = self.wiring.recorder = Oscilloscope(self.wiring)
        instruments = (WaveformGenerator(self.wiring), SourceMeter(self.wiring), scope)
        self._ports: list[_Port] = []
        for stream, (port, instrument) in enumerate(zip(ports, instruments, strict=True)):
            try:
                self._ports.append(_Port(port, instrument, Draws(faults or Faults(), stream), lock))
            except (OSError, OverflowError) as error:
                self._release()
                raise IPNetError(f"port {port} cannot be listened on ({error}); name another, or 0.") from error
        self.resources = {
            name: f"TCPIP::{HOST}::{port.server_address[1]}::SOCKET"
            for name, port in zip(NAMES, self._ports, strict=True)
        }
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
            threading.Thread(target=port.serve_forever, args=(0.05,), name=name, daemon=True)
            for name, port in zip(NAMES, self._ports, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for port, thread in zip(self._ports, self._threads, strict=True):
            port.shutdown()
            thread.join()
        self._release()

    def _release(self) -> None:
        for port in self._ports:
            port.close_all()
            port.server_close()
