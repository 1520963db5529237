"""Output rows, and how much memory a system of processes takes."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import threading
from dataclasses import dataclass
from pathlib import Path


def print_row(impl: str, *, clients: int, parameters: int, seconds: list[float], first_seconds: float,
              accuracy: float | None, memory: Memory | None, bytes_per_client: float | None = None) -> None:
    """Prints one row. `seconds`: each round's duration; `first_seconds`: from the command to the first round's end.

    The first round, in which everything is started, is left out of the median.
    """
    later = seconds[1:] or seconds
    # On a line of its own: progress bars of some frameworks leave theirs open.
    print("\n" + json.dumps({
        "bench": "rounds", "impl": impl, "clients": clients, "parameters": parameters,
        "secondsPerRound": {"median": statistics.median(later), "min": min(later), "max": max(later), "runs": len(later)},
        "firstRoundSeconds": first_seconds,
        "bytesPerClientAndRound": bytes_per_client,
        "rssBytesPerNode": None if memory is None else memory.rss / clients,
        "pssBytesPerNode": None if memory is None else memory.pss / clients,
        "accuracy": accuracy,
    }), flush=True)


@dataclass(frozen=True)
class Memory:
    """Of all processes of a system, bytes. `rss` counts a page once per process that maps it, `pss` once in all."""

    rss: int
    pss: int


def memory(root: int) -> Memory | None:
    """A process and all its descendants; None where /proc does not say."""
    parents: dict[int, list[int]] = {}
    try:
        processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return None
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(process.name))
    sums = {"Rss": 0, "Pss": 0}
    todo = [root]
    while todo:
        process_id = todo.pop()
        todo += parents.get(process_id, [])
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in sums:
                    sums[name] += int(rest.split()[0]) * 1024
    return Memory(sums["Rss"], sums["Pss"])


class MemoryWatch:
    """The highest memory of this process and its descendants, sampled every second from a thread."""

    def __init__(self) -> None:
        self._peak: Memory | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(1):
            now = memory(os.getpid())
            if now is not None and (self._peak is None or now.rss > self._peak.rss):
                self._peak = now

    def stop(self) -> Memory | None:
        """Ends the watch; None where nothing could be read."""
        self._stop.set()
        self._thread.join()
        return self._peak or memory(os.getpid())
