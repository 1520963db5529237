"""Gradient rules in numpy, as a fair other implementation for `fmtl-node bench aggregate`.

What ../../src/projection computes, at float32 and by BLAS: K = G G^T, the rule's coefficients c from K, d = c G. Strict
rules end as theirs do: the projection on the cone that hurts nobody, then G d to see that it holds as stored.
Arguments: rule rows floats. Answers lines on standard input as ./aggregate-run.ts does.
"""
import json
import os
import resource
import sys
import time

try:
    import numpy as np
except ImportError as error:
    print(json.dumps({"reason": f"python3 has no numpy ({error}); name one that has in FMTL_PYTHON"}), flush=True)
    sys.exit(0)


def resident(key):
    """VmRSS (now) or VmHWM (highest so far), bytes; where there is no /proc, the highest for both."""
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def noise(k, i):
    h = (k + np.uint32(1)) * np.uint32(2654435769)
    h ^= h >> np.uint32(15)
    h *= np.uint32((2 * i + 0x85EBCA6B) & 0xFFFFFFFF)
    h ^= h >> np.uint32(13)
    return h.astype(np.int32).astype(np.float64) / 2**31


def inputs(rows, floats):
    """The rows of ./aggregate-run.ts, piece by piece so that nothing but them takes memory."""
    g = np.empty((rows, floats), np.float32)
    for start in range(0, floats, 65536):
        k = np.arange(start, min(floats, start + 65536), dtype=np.uint32)
        common = noise(k, rows)
        for i in range(rows):
            g[i, start:start + len(k)] = noise(k, i) + (-0.5 if i % 3 == 0 else 0.5) * common
    return g


def dual(k, q):
    """v >= 0 that minimises v K v / 2 + q v: Lawson and Hanson's active set, k with a unit diagonal."""
    v, active = np.zeros(len(q)), []
    for _ in range(10 * len(q)):
        slope = q + k @ v
        slope[active] = 0
        worst = int(np.argmin(slope))
        if slope[worst] >= -1e-15 * np.abs(q).max(initial=0):
            break
        active.append(worst)
        while active:
            goal = np.linalg.solve(k[np.ix_(active, active)], -q[active])
            if (goal > 0).all():
                v[active] = goal
                break
            at = v[active]
            down = goal <= 0
            share = (at[down] / (at[down] - goal[down])).min()
            v[active] = at + share * (goal - at)
            gone = [i for i, low in zip(active, down) if low and v[i] <= 1e-15]
            v[gone] = 0
            active = [i for i in active if i not in gone]
    return v


def coefficients(rule, k):
    n = len(k)
    mean = np.full(n, 1 / n)
    if rule == "mean":
        return mean
    size = np.sqrt(np.diag(k))
    unit = k / np.outer(size, size)
    if rule == "upgrad":
        return mean + sum(dual(unit, size[i] / n * unit[i]) for i in range(n)) / size
    c = np.eye(n)  # gp: conflicts projected away pair by pair, in the order of the rows
    for i in range(n):
        for j in range(n):
            product = c[i] @ k[:, j]
            if i != j and product < 0:
                c[i, j] -= product / k[j, j]
    c = mean @ c
    return c + dual(unit, k @ c / size) / size


COUNTERPARTS = ("gp", "mean", "upgrad")


def aggregate(rule, g):
    k = (g @ g.T).astype(np.float64)
    d = coefficients(rule, k).astype(np.float32) @ g
    if rule == "gp":
        cosine = (g @ d) / (np.sqrt(np.diag(k)) * np.linalg.norm(d))
        if cosine.min() < -1e-6:
            d[:] = 0
    return d


def main():
    rule, rows, floats = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if rule not in COUNTERPARTS:
        print(json.dumps({"reason": f"no counterpart of {rule} in numpy, only of {', '.join(COUNTERPARTS)}"}), flush=True)
        return
    base = resident("VmRSS")
    g = inputs(rows, floats)
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        d = aggregate(rule, g)
        seconds = time.perf_counter() - start
        peak = resident("VmHWM") - base
        sample = [float(d[i * (floats - 1) // 7]) for i in range(8)]
        print(json.dumps({"seconds": seconds, "peakBytes": peak, "sample": sample}), flush=True)
        del d


main()
