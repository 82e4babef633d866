#!/usr/bin/env python3
"""PyTorch's side of a comparison: convolutions and training steps, as fast as PyTorch runs them.

As a worker (no arguments) it answers requests of `vbench compare`, one JSON object per line on standard input and output;
Sources/ConvHarness/Comparison/PeerMessages.swift says which. By itself it measures problem files:

    pytorch.py --suite shapes.txt --passes forward,backward-filter --threads 1,2 --output DIR

writes DIR/results.csv with the columns of `vbench run`; what only vbench knows (verdict, bounds) stays empty.
Layouts are contiguous and channels-last; the optimizer is Adam in its fused form.
"""

import argparse
import csv
import json
import math
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "References" / "generators"))
import philox  # noqa: E402
from networks import NETWORKS, initialize  # noqa: E402

CONFIGURATIONS = ["contiguous", "channels-last"]
# Streams of the operands of one problem, as vbench numbers them.
INPUT, FILTER, OUTPUT = 0, 1, 2
CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def uniform(seed: int, stream: int, shape) -> torch.Tensor:
    """Uniform on [-1, 1), equal to vbench's numbers; in blocks, so that large tensors need little memory."""
    count, block = math.prod(shape), 1 << 20
    values = np.empty(count, dtype=np.float32)
    key = (seed & 0xFFFFFFFF, seed >> 32)
    for first in range(0, count, block):
        size = min(block, count - first)
        blocks = np.arange(first // 4, (first + size + 3) // 4, dtype=np.uint64)
        zeros = np.zeros_like(blocks)
        counter = np.stack([blocks & philox.LOW, blocks >> philox.SHIFT, zeros + np.uint64(stream), zeros], axis=1)
        words = philox.philox4x32(counter, key).reshape(-1)[:size]
        values[first:first + size] = 2.0 * ((words >> np.uint64(8)).astype(np.float64) * 2.0**-24) - 1.0
    return torch.from_numpy(values).reshape(shape)


class Convolution:
    """One pass of one problem in one layout."""

    def __init__(self, problem: dict, tensors: dict, pass_: str, configuration: str, prepared: bool):
        rank = len(problem["input"])
        self.pass_, self.rank = pass_, rank
        self.stride, self.dilation, self.groups = problem["stride"], problem["dilation"], problem["groups"]
        self.sides = [tuple(pair) for pair in problem["padding"]]
        self.padding = [before for before, _ in self.sides]
        # PyTorch pads both sides alike; other paddings are an operation of their own before the convolution.
        self.uneven = any(before != after for before, after in self.sides)
        if self.uneven:
            self.padding = [0] * rank
        if pass_ == "backward-filter" and configuration == "channels-last" and max(problem["filter"]) > 11:
            # Measured: 100 times the contiguous layout's time.
            raise ValueError("channels-last takes minutes for the gradient of so large a filter")
        layout = LAST.get(rank) if configuration == "channels-last" else None

        def lay(t):
            return t.contiguous(memory_format=layout) if layout else t.contiguous()

        self.x, self.w, self.dy = lay(tensors["x"]), lay(tensors["w"]), lay(tensors["dy"])
        self.packed = None
        if prepared and pass_ == "forward" and rank == 2 and not self.uneven:
            self.packed = torch._C._nn.mkldnn_reorder_conv2d_weight(
                self.w.to_mkldnn(), self.padding, self.stride, self.dilation, self.groups, list(self.x.shape))

    def pad(self, x):
        if not self.uneven:
            return x
        return F.pad(x, [side for pair in reversed(self.sides) for side in pair])

    def __call__(self) -> torch.Tensor:
        if self.pass_ == "forward":
            if self.packed is not None:
                return torch.ops.mkldnn._convolution_pointwise(
                    self.x, self.packed, None, self.padding, self.stride, self.dilation, self.groups, "none", [], "")
            return CONV[self.rank](
                self.pad(self.x), self.w, None, self.stride, self.padding, self.dilation, self.groups)
        data = self.pass_ == "backward-data"
        x = self.pad(self.x)
        gradients = torch.ops.aten.convolution_backward(
            self.dy, x, self.w, None, self.stride, self.padding, self.dilation, False, [0] * self.rank, self.groups,
            [data, not data, False])
        result = gradients[0 if data else 1]
        if data and self.uneven:
            for axis, (before, _) in enumerate(self.sides):
                result = result.narrow(axis + 2, before, self.x.shape[axis + 2])
        return result


class Training:
    """Steps of a network: forward, cross entropy, backward, fused Adam."""

    def __init__(self, request: dict):
        kind, shape = NETWORKS[request["network"]]
        batch, seed, image = request["batch"], request["seed"], request["image"]
        if image != list(shape):
            raise ValueError(f"{request['network']} takes images of {shape}, not of {image}")
        layout = torch.channels_last if request["configuration"] == "channels-last" else torch.contiguous_format
        self.model = kind()
        initialize(self.model, seed)
        self.model.to(memory_format=layout)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.001, fused=True)
        self.x = ((uniform(seed, INPUT, (batch, *image)) + 1) / 2).contiguous(memory_format=layout)
        self.labels = torch.arange(batch) % 10
        self.loss = math.nan

    def __call__(self):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(self.x), self.labels)
        loss.backward()
        self.optimizer.step()
        self.loss = loss.item()


class Worker:
    """Keeps the tensors of the last problem and what was made from them."""

    def __init__(self):
        self.key, self.tensors, self.made = None, None, {}
        self.scratch = torch.zeros(1)

    def convolution(self, request: dict) -> Convolution:
        problem = request["problem"]
        key = (json.dumps(problem, sort_keys=True), request["seed"])
        if key != self.key:
            spatial = problem["input"], problem["filter"], problem["output"]
            self.key, self.made = None, {}
            self.tensors = {
                "x": uniform(request["seed"], INPUT, [problem["n"], problem["c"], *spatial[0]]),
                "w": uniform(request["seed"], FILTER, [problem["k"], problem["c"] // problem["groups"], *spatial[1]]),
                "dy": uniform(request["seed"], OUTPUT, [problem["n"], problem["k"], *spatial[2]]),
            }
            self.key = key
        prepared = request["filter_state"] == "prepared"
        name = (request["pass"], request["configuration"], prepared)
        if name not in self.made:
            self.made[name] = Convolution(problem, self.tensors, *name)
        return self.made[name]

    def training(self, request: dict) -> Training:
        name = ("training", *(request[key] for key in ("network", "configuration", "threads", "seed", "batch")))
        if request.get("first"):
            # Of networks of hundreds of megabytes only those that are measured in turn are kept.
            self.made = {key: run for key, run in self.made.items() if key[:2] == name[:2] and key[3:] == name[3:]}
            self.made[name] = Training(request)
        return self.made[name]

    def settled(self, run, request: dict) -> float:
        """Seconds per execution, after untimed ones; before each timed one the caches are filled with something else, if wanted."""
        words, repetitions = request.get("evict_bytes", 0) // 4, request["repetitions"]
        untimed = request.get("untimed", 1)
        if words == 0:
            return seconds(run, repetitions, untimed)
        if self.scratch.numel() != words:
            self.scratch = torch.zeros(words)
        for _ in range(untimed):
            run()
        total = 0.0
        for _ in range(repetitions):
            self.scratch.add_(1)
            total += seconds(run, 1, untimed=0)
        return total / repetitions

    def answer(self, request: dict) -> dict:
        kind = request["request"]
        if kind == "hello":
            return {"peer": "pytorch", "version": torch.__version__, "configurations": CONFIGURATIONS, "settles": True}
        torch.set_num_threads(request["threads"])
        if kind == "result":
            with torch.no_grad():
                result = self.convolution(request)()
            flat = result.contiguous().reshape(-1)
            values = flat[torch.tensor(request["indices"], dtype=torch.int64)].double().tolist()
            return {"values": [v if math.isfinite(v) else None for v in values], "count": flat.numel()}
        if kind == "measure":
            run = self.convolution(request)
            with torch.no_grad():
                return {"seconds": self.settled(run, request)}
        if kind == "train":
            run = self.training(request)
            if request.get("first"):
                losses = []
                for _ in range(request["repetitions"]):
                    run()
                    losses.append(run.loss)
                return {"seconds": 0.0, "loss": losses[0], "losses": losses}
            return {"seconds": seconds(run, request["repetitions"]), "loss": run.loss}
        raise ValueError(f"unknown request '{kind}'")


def seconds(run, repetitions: int, untimed: int = 1) -> float:
    """Seconds per execution, after some that wake the threads and fill the caches."""
    for _ in range(untimed):
        run()
    start = time.perf_counter()
    for _ in range(repetitions):
        run()
    return (time.perf_counter() - start) / repetitions


def serve():
    # Whatever else prints to standard output must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the comparison goes on without this row
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


COLUMNS = (
    "suite,problem,name,pass,backend,threads,format,filter_state,verdict,reason,samples,min_ms,median_ms,p95_ms,"
    "gflops_effective,peak_percent,workspace_bytes,error_max,error_bound,error_ratio,baseline,speedup,speedup_low,"
    "speedup_high,verdict_speed,element_type,variant,isa,plan_ms,prepare_ms,gflops_executed,error_rms,executed_by,repro,"
    "error_bound_worst,verified_results").split(",")


def parse(text: str) -> dict:
    """A canonical 2-D problem, as in conv2d:n1c64h56w56k64r3s3p1u2x2."""
    match = re.fullmatch(
        r"conv2d:n(\d+)c(\d+)h(\d+)w(\d+)k(\d+)r(\d+)s(\d+)(?:u(\d+)(?:x(\d+))?)?(?:p(\d+(?:,\d+){0,3}))?"
        r"(?:l(\d+)(?:x(\d+))?)?(?:g(\d+))?", text)
    if not match:
        raise SystemExit(f"'{text}' is no canonical 2-D problem")
    n, c, h, w, k, r, s = (int(v) for v in match.groups()[:7])
    u = [int(match[8] or 1), int(match[9] or match[8] or 1)]
    sides = [int(v) for v in (match[10] or "0").split(",")]
    sides = sides * 4 if len(sides) == 1 else sides if len(sides) == 4 else [sides[0]] * 2 + [sides[1]] * 2
    padding, dilation = [sides[:2], sides[2:]], [int(match[11] or 1), int(match[12] or match[11] or 1)]
    output = [(i + sum(p) - d * (f - 1) - 1) // t + 1 for i, p, d, f, t in zip((h, w), padding, dilation, (r, s), u)]
    return {"n": n, "c": c, "k": k, "groups": int(match[13] or 1), "input": [h, w], "filter": [r, s], "output": output,
            "stride": u, "padding": padding, "dilation": dilation}


def measure_files(options):
    rows = []
    for path in options.suite:
        for line in Path(path).read_text().splitlines():
            words = line.split("#")[0].split()
            for pass_ in options.passes.split(",") if words else []:
                for threads in map(int, options.threads.split(",")):
                    for configuration in CONFIGURATIONS:
                        rows.append(measure(path, words, pass_, threads, configuration, options.seconds))
    os.makedirs(options.output, exist_ok=True)
    with open(os.path.join(options.output, "results.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def measure(suite, words, pass_, threads, configuration, limit):
    problem = parse(words[0])
    torch.set_num_threads(threads)
    request = {"problem": problem, "seed": 1, "pass": pass_, "configuration": configuration, "filter_state": "fresh"}
    run, samples = Worker().convolution(request), []
    with torch.no_grad():
        while sum(samples) < limit or len(samples) < 3:
            samples.append(seconds(run, 1))
    flops = 2 * problem["n"] * problem["k"] * math.prod(problem["output"]) * math.prod(problem["filter"])
    flops *= problem["c"] // problem["groups"]
    median = float(np.median(samples))
    return {
        "suite": suite, "problem": words[0], "name": " ".join(words[1:]), "pass": pass_, "backend": "pytorch",
        "threads": threads, "format": "nchw" if configuration == "contiguous" else "nhwc", "filter_state": "fresh",
        "verdict": "missing-reference", "reason": "vbench compare verifies", "samples": len(samples),
        "min_ms": f"{min(samples) * 1e3:.6g}", "median_ms": f"{median * 1e3:.6g}",
        "p95_ms": f"{float(np.quantile(samples, 0.95)) * 1e3:.6g}", "gflops_effective": f"{flops / median * 1e-9:.6g}",
        "element_type": "float32", "variant": f"pytorch[{torch.__version__}]", "executed_by": "pytorch"}


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--suite", action="append", required=True, help="file of canonical 2-D problems; repeatable")
        parser.add_argument("--passes", default="forward,backward-data,backward-filter")
        parser.add_argument("--threads", default="1,2")
        parser.add_argument("--seconds", type=float, default=1.0, help="of timing per row")
        parser.add_argument("--output", required=True, help="folder of results.csv")
        measure_files(parser.parse_args())
