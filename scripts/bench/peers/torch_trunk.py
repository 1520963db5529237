"""The trunk of a host in PyTorch, on a GPU or the CPU: the yardstick of scripts/bench/rungs.ts, pass for pass.

As there, a pass begins with parameters and activations in host memory and ends with the gradients of both back in it:
upload, forward, backward to every weight and to the activations, download. Needs PyTorch alone.

    python torch_trunk.py --device cuda --passes 20 --shapes 128x16x6x32,512x64x8x64

Prints one JSON row per shape, with the keys of rungs.ts.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time

import torch
from split.models import Trunk
from torch.nn.utils import parameters_to_vector, vector_to_parameters

MIB = 2**20


def measure(device: str, shape: str, passes: int) -> dict[str, object]:
    """One row. Times are wall-clock milliseconds of whole passes; reading the gradients back waits for the device."""
    width, tokens, layers, batch = map(int, shape.split("x"))
    torch.manual_seed(1)
    trunk = Trunk(width, layers).to(device)
    parameters = list(trunk.parameters())
    flat = parameters_to_vector(parameters).detach().cpu()
    activations, features = torch.randn(batch, tokens, width), torch.randn(batch, tokens, width)

    def one_pass() -> float:
        started = time.perf_counter()
        vector_to_parameters(flat.to(device), parameters)
        inputs = activations.to(device).requires_grad_()
        gradients = torch.autograd.grad(trunk(inputs), [inputs, *parameters], features.to(device))
        gradients[0].cpu()
        parameters_to_vector(gradients[1:]).cpu()
        return (time.perf_counter() - started) * 1000

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    first = one_pass()
    times = [one_pass() for _ in range(passes)]
    median = statistics.median(times)
    on_gpu = device.startswith("cuda")
    memory = torch.cuda.max_memory_reserved() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    return {
        "rung": f"PyTorch {torch.__version__}",
        "device": torch.cuda.get_device_name() if on_gpu else f"{torch.get_num_threads()} threads",
        "shape": shape,
        "firstMs": first,
        "medianMs": median,
        "minMs": min(times),
        "rowsPerSecond": batch / (median / 1000),
        "memoryMiB": memory / MIB,
    }


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shapes", default="48x16x2x24,128x16x6x32,192x64x6x32,512x64x8x64")
    parser.add_argument("--passes", type=int, default=20)
    options = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 as ours
    for shape in options.shapes.split(","):
        print(json.dumps(measure(options.device, shape, options.passes)), flush=True)


if __name__ == "__main__":
    main()
