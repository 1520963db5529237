"""The server: forward and backward of the trunk per client, one optimiser step for all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from . import sockets, streams
from .models import Trunk, adamw, parameter_count, prepare


class SharedTrunk:
    """The trunk that all clients' threads use. A step ends for all of them when the last one's gradients are in."""

    def __init__(self, trunk: Trunk, clients: int) -> None:
        self._trunk = trunk
        self._parameters = list(trunk.parameters())
        self._optimiser = adamw(self._parameters)
        self._clients = clients
        self._waiting: list[list[Tensor]] = []
        self._arrived = threading.Barrier(clients, action=self._update)
        # One forward or backward at a time: each uses all threads, and two at once only take turns at the cores.
        self._compute = threading.Lock()

    def session(self, receive: Callable[[int], Tensor]) -> Iterator[Tensor]:
        """Serves one client until `receive` raises EOFError."""
        while True:
            activations = receive(0).requires_grad_()
            activations.grad = None
            with self._compute:
                features = self._trunk(activations)
            yield features
            feature_grads = receive(1)
            with self._compute:
                activation_grads, *grads = torch.autograd.grad(features, [activations, *self._parameters], feature_grads)
            self._waiting.append(grads)  # an append is atomic
            yield activation_grads  # before waiting for the others: the client updates its parts meanwhile
            self._arrived.wait()

    def _update(self) -> None:
        """The mean over clients, and one step. Runs in the last thread that arrives, while the others wait."""
        first, *others = self._waiting
        for grads in others:
            torch._foreach_add_(first, grads)
        if others:
            torch._foreach_div_(first, self._clients)
        for parameter, grad in zip(self._parameters, first):
            parameter.grad = grad
        self._optimiser.step()
        self._waiting = []


def run(job, facts) -> None:
    """The server process: says its port and parameter count, serves until all clients have left."""
    prepare(job, None)
    trunk = Trunk(job.width, job.layers)
    shared = SharedTrunk(trunk, job.clients)
    serve = sockets.serve if job.transport == "socket" else streams.serve
    serve(shared.session, job.clients, (job.batch, job.tokens, job.width),
          lambda port: facts.put((port, parameter_count(trunk))))
