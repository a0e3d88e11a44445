"""Instruments by address, through PyVISA and its pure Python backend."""

import socket
from typing import Any

from ipnet.errors import IPNetError, LostConnection
from ipnet.instrument import Transport

_CHUNK = 1 << 20  # bytes read at once; one record of a digitiser is about that long


def connect(address: str, *, timeout: float = 5.0, baud: int = 9600, backend: str = "@py") -> Transport:
    r"""Open an instrument.

    Args:
        address: of VISA, such as ``TCPIP::192.168.0.7::5025::SOCKET``, ``TCPIP::192.168.0.7::INSTR`` or
            ``ASRL/dev/ttyUSB0::INSTR``.
        timeout: for one reply [s].
        baud: symbols per second of a serial line (ASRL).
        backend: of PyVISA; "@py" needs no other software.

    Returns:
        PyVISA's resource: messages end in ``\n``, also those that come back.

    Raises:
        IPNetError: PyVISA is missing, or pyserial for a serial line; or the address is none.
        LostConnection: nothing answers there.
    """
    if not timeout > 0:
        raise IPNetError(f"an instrument must have more than 0 s to reply; got {timeout:g} s.")
    visa = _pyvisa()
    try:
        manager = visa.ResourceManager(backend)
    except (visa.errors.Error, ValueError, OSError) as error:
        raise IPNetError(f"PyVISA must have the backend '{backend}'; got {error}: install it.") from error
    kind = manager.resource_info(address).interface_type
    if kind is visa.constants.InterfaceType.unknown:
        raise IPNetError(
            f"an instrument must have a VISA address such as TCPIP::192.168.0.7::5025::SOCKET; got '{address}'."
        )
    options: dict[str, Any] = {
        "timeout": round(timeout * 1000),
        "open_timeout": round(timeout * 1000),
        "read_termination": "\n",
        "write_termination": "\n",
        "chunk_size": _CHUNK,
    }
    if kind is visa.constants.InterfaceType.asrl:
        _require_serial(backend)
        options |= {"baud_rate": baud, "chunk_size": 4096}
    try:
        resource = manager.open_resource(address, **options)
    except Exception as error:  # the backend raises what sockets and serial lines raise, and bare exceptions
        raise LostConnection(
            f"an instrument must answer at '{address}'; got {type(error).__name__} ({error}): see that it is on "
            "and connected."
        ) from error
    _send_at_once(resource)
    transport: Transport = resource
    return transport


def _pyvisa() -> Any:
    try:
        import pyvisa
        import pyvisa_py  # noqa: F401
    except ImportError as error:
        raise IPNetError(f'PyVISA must be installed ({error}): pip install "mtj-ipnet[lab]".') from error
    return pyvisa


def _require_serial(backend: str) -> None:
    """PyVISA-py takes a serial line without pyserial for one where nobody answers."""
    if backend == "@py":
        try:
            import serial  # noqa: F401
        except ImportError as error:
            raise IPNetError(
                f'pyserial must be installed for a serial line ({error}): pip install "mtj-ipnet[lab]".'
            ) from error


def _send_at_once(resource: Any) -> None:
    """Have a short message to a socket sent at once, not after the one before is acknowledged, some 40 ms later.

    The socket is asked itself: the attribute of VISA for it cannot be set in PyVISA-py 0.8.1.
    """
    session = getattr(resource.visalib, "sessions", {}).get(resource.session)
    link = getattr(session, "interface", None)
    if isinstance(link, socket.socket):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
