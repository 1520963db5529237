"""Flower's FedAvg, as a simulation (Ray) or deployed on this machine (SuperLink, SuperNodes, `flwr run`).

    python flower_rounds.py --mode simulation|deployment --data PATH/digits --parameters small|large
"""

from __future__ import annotations

import os
import time

STARTED = time.time()
os.environ.update(FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1", RAY_USAGE_STATS_ENABLED="0",
                  RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", OMP_NUM_THREADS="1")

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent

# The app that `flwr run` packs: the apps themselves come from this folder, through PYTHONPATH.
PYPROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "peerapp"
version = "1.0.0"
dependencies = []
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "peerapp.apps:server_app"
clientapp = "peerapp.apps:client_app"
[tool.flwr.app.config]
"""
APPS = """import json, os
from rounds import flower_apps
client_app = flower_apps.client_app
server_app = flower_apps.make_server_app(json.loads(os.environ["PEER_ROUNDS"]))
"""


def simulate(settings: dict[str, object]) -> None:
    """Ray actors in as many processes as there are cores."""
    from flwr.simulation import run_simulation

    from rounds.flower_apps import client_app, make_server_app

    cores = os.cpu_count() or 1
    run_simulation(make_server_app(settings), client_app, int(settings["clients"]), backend_config={
        "init_args": {"num_cpus": cores}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}})


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Until something listens on the port. Raises RuntimeError when the process has ended or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("flower-superlink does not listen")


def deploy(settings: dict[str, object], folder: Path, timeout: float) -> float:
    """SuperLink, SuperNodes and one run. Returns the bytes between SuperNodes and SuperLink."""
    from rounds.proxy import CountingProxy

    app = folder / "app"
    (app / "peerapp").mkdir(parents=True)
    (app / "pyproject.toml").write_text(PYPROJECT)
    (app / "peerapp" / "__init__.py").write_text("")
    (app / "peerapp" / "apps.py").write_text(APPS)
    home = folder / "home"
    home.mkdir()
    port = free_port()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "bench"\n[superlink.bench]\naddress = "127.0.0.1:{port}"\ninsecure = true\n')
    environment = {**os.environ, "FLWR_HOME": str(home), "PEER_ROUNDS": json.dumps(settings),
                   "PYTHONPATH": str(HERE), "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    log = (folder / "log.txt").open("wb")

    def start(*command: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen([str(BIN / str(command[0])), *map(str, command[1:])], env=environment, cwd=app,
                                stdout=log, stderr=log, start_new_session=True)

    with ExitStack() as stack:
        link = start("flower-superlink", "--insecure", "--port", port, "--disable-runtime-dependency-installation")
        stack.callback(stop, link)
        wait_for(port, link)
        proxy = CountingProxy(port)
        stack.callback(proxy.close)
        clients = int(settings["clients"])
        for client in range(clients):
            stack.callback(stop, start(
                "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{proxy.port}", "--port", free_port(),
                "--node-config", f"partition-id={client} num-partitions={clients}"))
        run = subprocess.run([str(BIN / "flwr"), "run", str(app), "bench"], env=environment, cwd=app, check=False,
                             capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"flwr run: {(run.stdout + run.stderr).strip()[-400:]}")
        deadline = time.monotonic() + timeout
        while not Path(str(settings["result"])).exists():
            if time.monotonic() > deadline or link.poll() is not None:
                raise RuntimeError(f"no result after {timeout:.0f} s: {(folder / 'log.txt').read_text()[-2000:]}")
            time.sleep(0.2)
        return float(proxy.count)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with everything it started."""
    try:
        os.killpg(process.pid, 15)
        process.wait(10)
    except (OSError, subprocess.TimeoutExpired):
        pass
    try:
        os.killpg(process.pid, 9)
    except OSError:
        pass


def main() -> None:
    """Reads the arguments, runs, prints one row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=["simulation", "deployment"], default="simulation")
    parser.add_argument("--data", required=True)
    parser.add_argument("--parameters", choices=["small", "large"], default="small")
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimiser", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--timeout", type=float, default=240, help="seconds that a deployed run may take")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that every process started here is ended
    from rounds import model
    from rounds.report import MemoryWatch, print_row

    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = Path(name)
        settings = {"data": str(Path(args.data).resolve()), "size": args.parameters, "optimiser": args.optimiser,
                    "clients": args.clients, "rounds": args.rounds, "result": str(folder / "result.json")}
        watch = MemoryWatch()
        os.environ["PYTHONPATH"] = str(HERE)
        moved = deploy(settings, folder, args.timeout) if args.mode == "deployment" else simulate(settings)
        result = json.loads(Path(str(settings["result"])).read_text())
        print_row(f"flower-{args.mode}", clients=args.clients, parameters=model.parameter_count(args.parameters),
                  seconds=result["seconds"], first_seconds=result["firstRoundEnd"] - STARTED,
                  accuracy=result["accuracy"], memory=watch.stop(),
                  bytes_per_client=None if moved is None else moved / args.clients / args.rounds)


if __name__ == "__main__":
    main()
