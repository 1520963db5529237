"""p2pfl's FedAvg between nodes in one process (its memory protocol), every node training in every round.

    python p2pfl_rounds.py --data PATH/digits --parameters small|large
"""

from __future__ import annotations

import time

STARTED = time.monotonic()

import argparse
import logging
import os
import shutil
import tempfile
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
CALLED_FROM = Path.cwd()
os.chdir(tempfile.mkdtemp(prefix="peers-"))  # p2pfl and Lightning write their logs into the working directory

from p2pfl.settings import Settings

# Nodes as threads of this process: Ray would start one more process per core for networks that train in milliseconds.
Settings.general.DISABLE_RAY = True

import lightning
import torch
from datasets import Dataset, DatasetDict
from p2pfl.communication.protocols.protobuff.memory import MemoryCommunicationProtocol
from p2pfl.learning.dataset.p2pfl_dataset import P2PFLDataset
from p2pfl.learning.frameworks.pytorch.lightning_model import LightningModel
from p2pfl.node import Node
from p2pfl.utils.topologies import TopologyFactory, TopologyType
from p2pfl.utils.utils import set_standalone_settings, wait_convergence

from rounds import digits, model
from rounds.report import MemoryWatch, print_row


class Mlp(lightning.LightningModule):
    """The shared MLP, as Lightning wants it."""

    def __init__(self, size: str, optimiser: str) -> None:
        super().__init__()
        self.net = model.mlp(size)
        self.optimiser = optimiser
        self.lr_rate = model.RATES[optimiser]  # p2pfl reads it for its log

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """As the other peers."""
        return model.make_optimiser(self.optimiser, self)

    def training_step(self, batch: dict[str, torch.Tensor], _index: int) -> torch.Tensor:
        """Mean cross entropy of a batch."""
        return torch.nn.functional.cross_entropy(self(batch["x"]), batch["label"])

    def test_step(self, batch: dict[str, torch.Tensor], _index: int) -> None:
        """p2pfl evaluates by itself after the last round; the accuracy of the row is taken outside."""


def dataset(rows: digits.Rows, held_out: digits.Rows) -> P2PFLDataset:
    """A node's rows, in the tables p2pfl takes."""
    parts = {name: Dataset.from_dict({"x": list(x), "label": y}).with_format("torch")
             for name, (x, y) in (("train", rows), ("test", held_out))}
    return P2PFLDataset(DatasetDict(parts), batch_size=model.BATCH, dataset_name="digits")


def main() -> None:
    """Reads the arguments, runs, prints one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--parameters", choices=list(model.HIDDEN), default="small")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimiser", choices=list(model.RATES), default="sgd")
    parser.add_argument("--gossip-seconds", type=float, default=0.1, help="pause between rounds of model gossip")
    parser.add_argument("--timeout", type=float, default=240)
    args = parser.parse_args()
    set_standalone_settings()
    # Faster than p2pfl's own example: there a pause is 2 s (the setting reads "times by second" and is slept as seconds),
    # and the message thread of each node spins. More equal states end the gossip, so that this stays 10 s.
    Settings.gossip.MODELS_PERIOD = args.gossip_seconds
    Settings.gossip.MODELS_PER_ROUND = args.clients
    Settings.gossip.EXIT_ON_X_EQUAL_ROUNDS = max(10, round(10 / args.gossip_seconds))
    Settings.gossip.PERIOD = 0.01
    for name in ("lightning.pytorch", "pytorch_lightning", "p2pfl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    watch = MemoryWatch()
    data = str(CALLED_FROM / args.data)
    _, held_out = digits.load(data)
    few = (held_out[0][:32], held_out[1][:32])
    nodes = [Node(LightningModel(Mlp(args.parameters, args.optimiser)), dataset(digits.part(data, client, args.clients), few),
                  addr=f"node-{client}", protocol=MemoryCommunicationProtocol()) for client in range(args.clients)]
    ends: list[list[float]] = [[] for _ in nodes]

    def note_rounds(node: Node, times: list[float]) -> None:
        increase = node.state.increase_round

        def noted() -> None:
            increase()
            times.append(time.monotonic())

        node.state.increase_round = noted

    try:
        for node, times in zip(nodes, ends):
            note_rounds(node, times)
            node.start()
        TopologyFactory.connect_nodes(TopologyFactory.generate_matrix(TopologyType.FULL, len(nodes)), nodes)
        wait_convergence(nodes, len(nodes) - 1, only_direct=False, wait=60)
        begin = time.monotonic()
        nodes[0].set_start_learning(rounds=args.rounds, epochs=1, trainset_size=len(nodes))
        while min(len(times) for times in ends) < args.rounds:
            if time.monotonic() - begin > args.timeout:
                raise TimeoutError(f"{[len(times) for times in ends]} of {args.rounds} rounds after {args.timeout:.0f} s")
            time.sleep(0.05)
        closed = [max(times[number] for times in ends) for number in range(args.rounds)]
        net = model.mlp(args.parameters)
        model.assign(net, nodes[0].learner.get_model().get_parameters())
        print_row("p2pfl-memory", clients=args.clients, parameters=model.parameter_count(args.parameters),
                  seconds=[end - start for start, end in zip([begin, *closed], closed)],
                  first_seconds=closed[0] - STARTED, accuracy=model.accuracy(net, held_out), memory=watch.stop())
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(Path.cwd(), ignore_errors=True)


if __name__ == "__main__":
    main()
