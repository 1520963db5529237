"""A TCP forwarder that counts: what clients and server say to each other, without anybody else's loopback traffic."""

from __future__ import annotations

import socket
import threading


class CountingProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `port`. `count` is the bytes of both directions so far."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self._target = port
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the server is not up yet: the client will try again
                client.close()
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 18))
        try:
            while (size := source.recv_into(buffer)) > 0:
                sink.sendall(buffer[:size])
                with self._lock:
                    self.count += size
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.close()

    def close(self) -> None:
        """Takes no more connections."""
        self._server.close()
