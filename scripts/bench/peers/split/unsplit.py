"""The same model without a cut, in one process: what splitting costs is measured against it."""

from __future__ import annotations

import itertools
import time

from torch.nn import functional as F

from .models import Embedder, Head, Trunk, adamw, batches, parameter_count, prepare


def run(job, results) -> None:
    """All clients' batches one after the other, then one step of the shared trunk on the mean gradient."""
    from torch_split import WARM_UP_STEPS, Measured

    prepare(job, None)
    trunk = Trunk(job.width, job.layers)
    parts = []
    for index in range(job.clients):
        prepare(job, index)
        parts.append((Embedder(job.width, job.tokens), Head(job.width), itertools.cycle(batches(job, index))))
    private = [parameter for embedder, head, _ in parts for part in (embedder, head) for parameter in part.parameters()]
    shared = list(trunk.parameters())
    optimiser, private_optimiser = adamw(shared), adamw(private)

    def step() -> float:
        losses = []
        for embedder, head, data in parts:
            pieces, labels = next(data)
            loss = F.cross_entropy(head(trunk(embedder(pieces))), labels)
            loss.backward()
            losses.append(loss.detach())
        if job.clients > 1:
            for parameter in shared:
                parameter.grad /= job.clients
        optimiser.step()
        private_optimiser.step()
        optimiser.zero_grad()
        private_optimiser.zero_grad()
        return sum(losses) / len(losses)

    for _ in range(WARM_UP_STEPS):
        step()
    windows, losses = [], []
    for _ in range(job.runs):
        start = time.monotonic()
        losses = [step() for _ in range(job.steps)]
        windows.append((start, time.monotonic()))
    results.put(Measured(windows, sum(float(loss) for loss in losses) / len(losses), parameter_count(trunk)))
