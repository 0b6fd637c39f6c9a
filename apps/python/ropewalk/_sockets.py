"""Sockets to brokers: how one is made, and what is written to it without waiting."""

from __future__ import annotations

import socket
from typing import Any, Generic, Union

from ._address import Address, check_role
from ._connection import Connection, R
from ._protocol import Piece

CONNECT_SECONDS = 5.0

# How long a broker may be silent, and leave unacknowledged what was sent, before it counts as gone: a network that was cut
# says nothing.
_DEAD_SECONDS = 15

_PIECES_A_WRITE = 64


def connect(address: Address, number: int) -> socket.socket:
    """A socket to the broker of that number, ready to be used without blocking; over TLS, shaken hands.

    :raises OSError: if that does not work; :class:`ConnectionError` if what answers there is no broker.
    """
    made = socket.create_connection(address.brokers[number], CONNECT_SECONDS)
    try:
        keep_alive(made)
        if address.tls:
            secure = address.tls.wrap_socket(made, server_hostname=address.brokers[number][0])
            made = secure
            check_role(secure.getpeercert() or {})
        made.setblocking(False)
        return made
    except BaseException:
        made.close()
        raise


def keep_alive(made: Any) -> None:
    """Has the kernel find out that the broker is gone, within 15 s, and send small writes at once."""
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 3), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", _DEAD_SECONDS * 1000)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Link(Generic[R]):
    """A socket and the connection that goes over it."""

    def __init__(self, sock: socket.socket, connection: Connection[R], is_tls: bool) -> None:
        self.socket = sock
        self.connection = connection
        #: OpenSSL's sessions are for one thread at a time: others do not write.
        self.is_tls = is_tls
        self._rest: list[Union[memoryview, Piece]] = []  # taken out of the connection, and not written yet
        self._rest_bytes = 0

    @property
    def unsent_bytes(self) -> int:
        return self._rest_bytes + self.connection.unsent_bytes

    def flush(self) -> bool:
        """Writes what can be written; false if there is more.

        :raises OSError: if the connection is over.
        """
        while True:
            if not self._rest:
                if not self.connection.unsent_bytes:
                    return True
                self._rest = list(self.connection.take_out())
                self._rest_bytes = sum(map(len, self._rest))
            try:
                if self.is_tls or len(self._rest) == 1:
                    count = self.socket.send(self._rest[0])
                else:
                    count = self.socket.sendmsg(self._rest[:_PIECES_A_WRITE])
            except OSError as error:
                if would_block(error):
                    return False
                raise
            self._written(count)

    def _written(self, count: int) -> None:
        self._rest_bytes -= count
        whole = 0
        for piece in self._rest:
            if count < len(piece):
                break
            count -= len(piece)
            whole += 1
        del self._rest[:whole]
        if count:
            self._rest[0] = memoryview(self._rest[0])[count:]

    def read(self) -> int:
        """Reads what is there into the connection's buffer: how many bytes; 0 if there is nothing, and -1 at the end.

        :raises OSError: if the connection is over.
        """
        try:
            return self.socket.recv_into(self.connection.buffer()) or -1
        except OSError as error:
            if would_block(error):
                return 0
            raise


def would_block(error: OSError) -> bool:
    """Nothing is wrong: it has to wait."""
    return isinstance(error, (BlockingIOError, InterruptedError)) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
