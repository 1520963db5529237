"""FedAvg in Flower's own idiom: a ClientApp, and a ServerApp whose strategy notes when each round begins."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from . import digits, model

client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """One local epoch from the arrays that came, in one thread: nodes share the cores."""
    torch.set_num_threads(1)
    config = message.content["config"]
    client, clients = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    rows = digits.part(str(config["data"]), client, clients)
    net = model.mlp(str(config["size"]))
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    model.epoch(net, rows, str(config["optimiser"]), seed=(int(config["server-round"]) - 1) * clients + client)
    content = RecordDict({
        "arrays": ArrayRecord(torch_state_dict=net.state_dict()),
        "metrics": MetricRecord({"num-examples": len(rows[1])}),
    })
    return Message(content=content, reply_to=message)


class TimedFedAvg(FedAvg):
    """FedAvg that notes on the wall clock when each round's messages are made."""

    def __init__(self, clients: int) -> None:
        super().__init__(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        self.begins: list[float] = []

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord,
                        grid: Grid) -> Iterable[Message]:
        """As FedAvg, after all nodes are there."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.begins.append(time.time())
        return messages


def make_server_app(settings: dict[str, object]) -> ServerApp:
    """`settings`: data, size, optimiser, clients, rounds, and the file `result` that receives round times and accuracy."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, _context: Context) -> None:
        net = model.mlp(str(settings["size"]))
        strategy = TimedFedAvg(int(settings["clients"]))
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(torch_state_dict=net.state_dict()),
            num_rounds=int(settings["rounds"]),
            train_config=ConfigRecord({name: str(settings[name]) for name in ("data", "size", "optimiser")}),
        )
        ends = [*strategy.begins[1:], time.time()]
        net.load_state_dict(result.arrays.to_torch_state_dict())
        Path(str(settings["result"])).write_text(json.dumps({
            "seconds": [end - begin for begin, end in zip(strategy.begins, ends)],
            "firstRoundEnd": ends[0],
            "accuracy": model.accuracy(net, digits.load(str(settings["data"]))[1]),
        }))

    return app
