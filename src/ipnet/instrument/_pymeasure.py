"""PyMeasure's instruments and adapters as transports, for who has them open already."""

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from ipnet.errors import GarbledReply, IPNetError
from ipnet.instrument import Transport


def adapt(source: Any) -> Transport:
    """The transport below an instrument or adapter of PyMeasure.

    Args:
        source: an open `pymeasure.instruments.Instrument` or `pymeasure.adapters.Adapter`. Its settings stay: give
            a VISAAdapter of a socket its ``read_termination`` and ``write_termination``.

    Raises:
        IPNetError: PyMeasure is missing, or this is neither of the two.
    """
    try:
        resources: Any = importlib.import_module("pyvisa.resources")
        from pymeasure.adapters import Adapter
        from pymeasure.instruments import Instrument
    except ImportError as error:
        raise IPNetError(f'PyMeasure must be installed ({error}): pip install "mtj-ipnet[lab]".') from error
    adapter = source.adapter if isinstance(source, Instrument) else source
    if not isinstance(adapter, Adapter):
        raise IPNetError(f"an instrument or adapter of PyMeasure is wanted; got {type(source).__name__}.")
    connection = getattr(adapter, "connection", None)
    if isinstance(connection, resources.MessageBasedResource):
        transport: Transport = connection
        return transport
    return _Adapted(adapter)


class _Adapted:
    """An adapter that is not PyVISA's, such as a serial line's."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    def write(self, message: str) -> None:
        self._adapter.write(message)

    def query(self, message: str) -> str:
        self._adapter.write(message)
        return str(self._adapter.read())

    def write_binary_values(
        self, message: str, values: Iterable[int], datatype: str = "h", is_big_endian: bool = True
    ) -> None:
        end = getattr(self._adapter, "write_termination", "") or ""
        block = list(values)
        self._adapter.write_binary_values(
            message, block, termination=end, datatype=datatype, is_big_endian=is_big_endian
        )

    def query_binary_values(
        self, message: str, datatype: str = "h", is_big_endian: bool = True, container: Any = list
    ) -> Any:
        self._adapter.write(message)
        data = self._block(message)
        words = np.frombuffer(data, np.dtype(datatype).newbyteorder(">" if is_big_endian else "<"))
        return container(words.tolist())

    def close(self) -> None:
        self._adapter.close()

    def _block(self, message: str) -> bytes:
        """The bytes of a block #<digits><length><bytes> of IEEE 488.2."""
        head = self._adapter.read_bytes(2)
        try:
            if head[:1] != b"#":
                raise ValueError
            length = int(self._adapter.read_bytes(int(head[1:])))
        except ValueError:
            raise GarbledReply(f"{message} must be answered by a block of IEEE 488.2; got {head!r}.") from None
        data: bytes = self._adapter.read_bytes(length)
        if end := getattr(self._adapter, "read_termination", "") or "":
            self._adapter.read_bytes(len(end))
        return data
