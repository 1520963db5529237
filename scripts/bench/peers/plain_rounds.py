"""FedAvg as a plain loop in one process: what the rounds cost with no framework around them (impl `none`).

    python plain_rounds.py --data PATH/digits --parameters small
"""

from __future__ import annotations

import argparse
import time

STARTED = time.monotonic()

import numpy as np
import torch

from rounds import digits, model
from rounds.report import MemoryWatch, print_row


def main() -> None:
    """Reads the arguments, runs, prints one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--parameters", choices=list(model.HIDDEN), default="small")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimiser", choices=list(model.RATES), default="sgd")
    parser.add_argument("--threads", type=int, default=1, help="one is fastest for networks this small")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    watch = MemoryWatch()
    parts = [digits.part(args.data, client, args.clients) for client in range(args.clients)]
    samples = sum(len(y) for _, y in parts)
    net = model.mlp(args.parameters)
    current = [value.copy() for value in model.weights(net)]
    seconds: list[float] = []
    first = 0.0
    for number in range(args.rounds):
        start = time.monotonic()
        mean = [np.zeros_like(value) for value in current]
        for client, rows in enumerate(parts):
            model.assign(net, current)
            model.epoch(net, rows, args.optimiser, seed=number * args.clients + client)
            for total, value in zip(mean, model.weights(net)):
                total += value * np.float32(len(rows[1]) / samples)
        current = mean
        seconds.append(time.monotonic() - start)
        first = first or time.monotonic() - STARTED
    model.assign(net, current)
    print_row("none", clients=args.clients, parameters=model.parameter_count(args.parameters), seconds=seconds,
              first_seconds=first, accuracy=model.accuracy(net, digits.load(args.data)[1]), memory=watch.stop())


if __name__ == "__main__":
    main()
