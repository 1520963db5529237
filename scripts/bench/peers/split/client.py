"""A client: embedder, head, their optimisers, and the measured loop."""

from __future__ import annotations

import itertools
import time

from torch import Tensor
from torch.nn import functional as F

from . import sockets, streams
from .models import Embedder, Head, adamw, batches, prepare


class Client:
    """The client's parts of one model."""

    def __init__(self, job, index: int, channel) -> None:
        prepare(job, index)
        self._embedder, self._head = Embedder(job.width, job.tokens), Head(job.width)
        self._embedder_optimiser = adamw(list(self._embedder.parameters()))
        self._head_optimiser = adamw(list(self._head.parameters()))
        self._channel = channel

    def step(self, pieces: Tensor, labels: Tensor) -> Tensor:
        """One training step; returns the loss, still a tensor."""
        activations = self._embedder(pieces)
        self._channel.send(activations)
        features = self._channel.receive(0).requires_grad_()
        features.grad = None
        loss = F.cross_entropy(self._head(features), labels)
        loss.backward()
        self._channel.send(features.grad)
        self._head_optimiser.step()  # while the server runs backward
        self._head_optimiser.zero_grad()
        activations.backward(self._channel.receive(1))
        self._embedder_optimiser.step()
        self._embedder_optimiser.zero_grad()
        return loss.detach()


def run(job, index: int, port: int, start_line, results) -> None:
    """The client process: warms up, waits for the others, measures `runs` windows of `steps` steps."""
    from torch_split import WARM_UP_STEPS, Measured

    connect = sockets.connect if job.transport == "socket" else streams.StreamChannel
    channel = connect(port, (job.batch, job.tokens, job.width))
    client = Client(job, index, channel)
    data = itertools.cycle(batches(job, index))
    for _ in range(WARM_UP_STEPS):
        client.step(*next(data))
    start_line.wait()
    windows, losses = [], []
    for _ in range(job.runs):
        start = time.monotonic()
        losses = [client.step(*next(data)) for _ in range(job.steps)]
        windows.append((start, time.monotonic()))
    channel.close()
    results.put(Measured(windows, sum(float(loss) for loss in losses) / len(losses)))
