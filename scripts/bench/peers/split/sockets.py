"""Tensors over plain TCP: a frame is its length in bytes (32 bits, little-endian) and raw float32. No pickle, no copy."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

HEADER = struct.Struct("<I")


class Session(Protocol):
    """What the server does for one client: takes tensors from `receive`, yields the answers."""

    def __call__(self, receive: Callable[[int], Tensor]) -> Iterator[Tensor]: ...


class SocketChannel:
    """One connection. Received tensors live in two buffers that take turns, because a step has two tensors at a time."""

    def __init__(self, connection: socket.socket, shape: tuple[int, ...]) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._buffers = [torch.empty(shape), torch.empty(shape)]
        self._views = [memoryview(buffer.numpy()).cast("B") for buffer in self._buffers]
        self._header = bytearray(HEADER.size)

    def send(self, tensor: Tensor) -> None:
        """Sends header and numbers in one call where the kernel takes them."""
        body = memoryview(tensor.detach().contiguous().numpy()).cast("B")
        header = HEADER.pack(body.nbytes)
        sent = self._connection.sendmsg([header, body])
        if sent < len(header):
            self._connection.sendall(header[sent:])
            sent = len(header)
        if sent < len(header) + body.nbytes:
            self._connection.sendall(body[sent - len(header):])

    def receive(self, slot: int) -> Tensor:
        """The next tensor, in buffer 0 or 1. Raises EOFError when the other side has closed."""
        self._fill(memoryview(self._header))
        (size,) = HEADER.unpack(self._header)
        if size != self._views[slot].nbytes:
            raise ValueError(f"a frame of {size} bytes, expected {self._views[slot].nbytes}")
        self._fill(self._views[slot])
        return self._buffers[slot]

    def _fill(self, view: memoryview) -> None:
        while view.nbytes > 0:
            count = self._connection.recv_into(view)
            if count == 0:
                raise EOFError
            view = view[count:]

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def connect(port: int, shape: tuple[int, ...]) -> SocketChannel:
    """The client's end."""
    return SocketChannel(socket.create_connection(("127.0.0.1", port)), shape)


def serve(session: Session, clients: int, shape: tuple[int, ...], listening: Callable[[int], None]) -> None:
    """One thread per client, until all have left."""

    def handle(connection: socket.socket) -> None:
        channel = SocketChannel(connection, shape)
        try:
            for answer in session(channel.receive):
                channel.send(answer)
        except EOFError:
            channel.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        listening(server.getsockname()[1])
        threads = [threading.Thread(target=handle, args=(server.accept()[0],)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
