"""The MLP that every round trains, and the local epoch: the same code below each framework."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from .digits import Rows

HIDDEN = {"small": (128,), "large": (970, 970)}
BATCH = 32
RATES = {"sgd": 0.1, "adam": 1e-3}


def mlp(size: str) -> nn.Sequential:
    """64-128-10 (small) or 64-970-970-10 (large), the same start values everywhere."""
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    inputs = 64
    for outputs in HIDDEN[size]:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


def parameter_count(size: str) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in mlp(size).parameters())


def make_optimiser(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or Adam in PyTorch's fused form, the fastest on the CPU."""
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[name]
    return kind(model.parameters(), lr=RATES[name], fused=True)


def epoch(model: nn.Module, rows: Rows, optimiser_name: str, seed: int) -> None:
    """One local epoch, batches of 32; the optimiser starts anew each round, as FedAvg has it."""
    x, y = torch.from_numpy(rows[0]), torch.from_numpy(rows[1])
    optimiser = make_optimiser(optimiser_name, model)
    for batch in torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).split(BATCH):
        optimiser.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimiser.step()


def accuracy(model: nn.Module, rows: Rows) -> float:
    """Share of rows whose highest score is the label's."""
    with torch.inference_mode():
        scores = model(torch.from_numpy(rows[0]))
    return float((scores.argmax(dim=1).numpy() == rows[1]).mean())


def weights(model: nn.Module) -> list[NDArray[np.float32]]:
    """Views of the parameters, in order."""
    return [parameter.detach().numpy() for parameter in model.parameters()]


def assign(model: nn.Module, values: list[NDArray[np.float32]]) -> None:
    """Copies values into the parameters."""
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values):
            parameter.copy_(torch.from_numpy(value))
