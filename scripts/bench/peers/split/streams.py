"""The same messages over gRPC: one bidirectional stream per client, raw bytes instead of a protobuf around them."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import torch
from torch import Tensor

from .sockets import Session

METHOD = "/peers.Split/Step"
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

# A received message is read-only memory, and nobody writes to it: no reason to copy it.
warnings.filterwarnings("ignore", message="The given buffer is not writable")


def to_bytes(tensor: Tensor) -> bytes:
    """The only copy of a send."""
    return tensor.detach().contiguous().numpy().tobytes()


def to_tensor(data: bytes, shape: tuple[int, ...]) -> Tensor:
    """Float32 over the message's own memory."""
    return torch.frombuffer(data, dtype=torch.float32).view(shape)


class StreamChannel:
    """The client's end of a stream."""

    def __init__(self, port: int, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers = self._channel.stream_stream(METHOD)(iter(self._outgoing.get, None))

    def send(self, tensor: Tensor) -> None:
        """Hands the numbers to gRPC's sender thread."""
        self._outgoing.put(to_bytes(tensor))

    def receive(self, slot: int) -> Tensor:
        """The next tensor; gRPC brings its own memory, so `slot` has no meaning here."""
        return to_tensor(next(self._answers), self._shape)

    def close(self) -> None:
        """Ends the stream, then the connection."""
        self._outgoing.put(None)
        for _ in self._answers:
            pass
        self._channel.close()


def serve(session: Session, clients: int, shape: tuple[int, ...], listening: Callable[[int], None]) -> None:
    """One thread per client, until all have left."""
    left = threading.Semaphore(0)

    def step(messages: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        def receive(_slot: int) -> Tensor:
            message = next(messages, None)
            if message is None:
                raise EOFError
            return to_tensor(message, shape)

        try:
            for answer in session(receive):
                yield to_bytes(answer)
        except EOFError:
            left.release()

    server = grpc.server(futures.ThreadPoolExecutor(clients), options=OPTIONS)
    handler = grpc.method_handlers_generic_handler(
        "peers.Split", {"Step": grpc.stream_stream_rpc_method_handler(step)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    listening(port)
    for _ in range(clients):
        left.acquire()
    server.stop(grace=1).wait()
