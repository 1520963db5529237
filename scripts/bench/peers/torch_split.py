"""Split learning in PyTorch, the peer that our split step is measured against.

A server process holds the trunk and its AdamW, each client process an embedder, a head and their AdamW. A step is four
messages of raw float32: activations, features, feature gradients, activation gradients. The server averages the gradients
of all clients and takes one optimiser step, so clients stay in step with each other.

    python torch_split.py --transport socket|grpc|none --shape 128x16x6 --batch 32 --clients 1 --threads 2

`none` is the same model in one process without any cut. Prints one JSON object per combination.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
from dataclasses import asdict, dataclass

WARM_UP_STEPS = 5  # the first steps allocate and build oneDNN's primitives; after five the time per step is level


@dataclass(frozen=True)
class Job:
    """What is measured. `steps` is the length of one measured window, `runs` the number of windows."""

    transport: str
    width: int
    tokens: int
    layers: int
    batch: int
    clients: int
    threads: int
    steps: int
    runs: int
    seed: int
    client_threads: int
    spin: int


@dataclass(frozen=True)
class Measured:
    """What one client saw: when each window began and ended (CLOCK_MONOTONIC, s), and its last window's mean loss."""

    windows: list[tuple[float, float]]
    loss: float
    trunk_parameters: int | None = None


def row(job: Job, measured: list[Measured], trunk_parameters: int) -> dict[str, object]:
    """One output row. A window lasts from the first client's start to the last client's end."""
    seconds = [max(end for _, end in windows) - min(start for start, _ in windows)
               for windows in zip(*(client.windows for client in measured))]
    rates = [job.clients * job.batch * job.steps / each for each in seconds]
    facts = asdict(job)
    named = {key: facts[key] for key in ("width", "tokens", "layers", "batch", "clients", "threads", "spin")}
    return {
        "bench": "split",
        "impl": "torch-unsplit" if job.transport == "none" else f"torch-{job.transport}",
        **named,
        "clientThreads": job.client_threads,
        "samplesPerSecond": {
            "median": statistics.median(rates), "min": min(rates), "max": max(rates), "runs": len(rates)},
        "stepMs": statistics.median(seconds) / job.steps * 1000,
        "parameters": trunk_parameters,
        "loss": statistics.fmean(client.loss for client in measured),
    }


def measure(job: Job) -> dict[str, object]:
    """Runs one job in fresh processes and returns its row."""
    from split import client, server, unsplit  # PyTorch is loaded only after the environment is set

    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    if job.transport == "none":
        process = context.Process(target=unsplit.run, args=(job, results))
        process.start()
        one = results.get()
        process.join()
        return row(job, [one], one.trunk_parameters)
    facts = context.SimpleQueue()
    host = context.Process(target=server.run, args=(job, facts))
    host.start()
    port, trunk_parameters = facts.get()
    start_line = context.Barrier(job.clients)
    processes = [context.Process(target=client.run, args=(job, index, port, start_line, results))
                 for index in range(job.clients)]
    for process in processes:
        process.start()
    measured = [results.get() for _ in processes]
    for process in [*processes, host]:
        process.join()
    return row(job, measured, trunk_parameters)


def main() -> None:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=["socket", "grpc", "none"], default="socket")
    parser.add_argument("--shape", default="128x16x6", help="width x tokens x layers")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--client-threads", type=int, help="default: as --threads")
    parser.add_argument("--spin", type=int, default=1000, help="turns that a waiting OpenMP thread spins before it sleeps")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    width, tokens, layers = (int(number) for number in args.shape.split("x"))
    # libgomp's threads spin while they wait, by default for 300 000 turns: right for one process, but a server's spinning
    # threads take the cores of the client that computes meanwhile. Which number is best depends on what else runs.
    os.environ["GOMP_SPINCOUNT"] = str(args.spin)
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    print(json.dumps(measure(Job(args.transport, width, tokens, layers, args.batch, args.clients, args.threads,
                                 args.steps, args.runs, args.seed, args.client_threads or args.threads, args.spin))), flush=True)


if __name__ == "__main__":
    main()
