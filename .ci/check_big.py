"""Converts a model that is larger than the memory that its conversion may take, and checks memory and result.

A network of convolution, batch normalization and dense layers is written as Keras 3 writes one, with random weights
that are made block by block. Its conversion must not take more memory than 64 MiB, twice the largest weight, and 32 MiB
for the program and the graph. What onnxruntime computes from the file is compared with a computation in double
precision that makes the same weights again. What was made is deleted.

    python .ci/check_big.py <the k2o program> <GiB of weights> [a folder with room for twice as much] [--external-data]
"""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import onnxruntime

GIB, MIB = 1 << 30, 1 << 20
STEPS, CHANNELS, TAPS, UNITS, OUTPUTS = 8, 4096, 4, 8192, 16
EPSILON = 1e-3
# Bytes of a weight that are in memory here at a time.
BLOCK = 16 * MIB
# Runs a program and prints the most memory that it took, in KiB. It is a program of its own because a process that is
# started counts the memory of the one that starts it, and that of this one is large.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Weight:
    """Numbers from `low` to `high` that depend on the seed only."""

    seed: int
    shape: tuple[int, ...]
    low: float
    high: float

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    def blocks(self):
        """Yields (the first row, some rows) of the weight as a matrix whose columns are its last axis."""
        columns = self.shape[-1]
        step = max(1, BLOCK // (4 * columns))
        for first in range(0, self.rows, step):
            random = np.random.Generator(np.random.SFC64([self.seed, first]))
            block = random.random((min(step, self.rows - first), columns), dtype=np.float32)
            block *= np.float32(self.high - self.low)
            block += np.float32(self.low)
            yield first, block

    def vector(self) -> np.ndarray:
        ((_, row),) = self.blocks()
        return row[0].astype(np.float64)

    def write(self, group: h5py.Group, name: str):
        dataset = group.create_dataset(name, self.shape, np.float32)
        for first, block in self.blocks():
            match self.shape:
                case (_,):
                    dataset[:] = block[0]
                case (_, _):
                    dataset[first : first + len(block)] = block
                case (_, rows, _):
                    # The rows of a tap are a multiple of those of a block.
                    tap, row = divmod(first, rows)
                    dataset[tap, row : row + len(block)] = block


@dataclass(frozen=True)
class Layer:
    kind: str
    config: dict
    weights: tuple[Weight, ...] = ()

    def apply(self, x: np.ndarray) -> np.ndarray:
        """What the layer computes, in double precision; without the batch."""
        if self.kind == "GlobalAveragePooling1D":
            return x.mean(axis=0)
        if self.kind == "BatchNormalization":
            gamma, beta, mean, variance = (weight.vector() for weight in self.weights)
            return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta
        if self.kind == "Conv1D":
            x = np.stack([x[step : step + TAPS].reshape(-1) for step in range(len(x) - TAPS + 1)])
        kernel, *bias = self.weights
        y = sum(x[..., first : first + len(rows)] @ rows.astype(np.float64) for first, rows in kernel.blocks())
        y = y + bias[0].vector() if bias else y
        return np.maximum(y, 0) if self.config["activation"] == "relu" else y


def network(size: int) -> list[Layer]:
    """Layers with about `size` bytes of weights, of which none is larger than 256 MiB."""
    layers: list[Layer] = []
    seeds = itertools.count()

    def kernel(*shape: int) -> Weight:
        # What passes through it and a relu keeps its mean square.
        limit = math.sqrt(6 / math.prod(shape[:-1]))
        return Weight(next(seeds), shape, -limit, limit)

    def normalization(n: int):
        config = {"axis": -1, "momentum": 0.99, "epsilon": EPSILON, "center": True, "scale": True}
        ranges = [(0.7, 1.3), (-0.3, 0.3), (-0.2, 0.2), (0.6, 1.4)]
        weights = tuple(Weight(next(seeds), (n,), low, high) for low, high in ranges)
        layers.append(Layer("BatchNormalization", config, weights))

    def dense(inputs: int, units: int, activation: str):
        config = {"units": units, "activation": activation, "use_bias": True}
        bias = Weight(next(seeds), (units,), -0.1, 0.1)
        layers.append(Layer("Dense", config, (kernel(inputs, units), bias)))

    config = {"filters": CHANNELS, "kernel_size": [TAPS], "strides": [1], "padding": "valid", "dilation_rate": [1]}
    config |= {"data_format": "channels_last", "groups": 1, "activation": "linear", "use_bias": False}
    layers.append(Layer("Conv1D", config, (kernel(TAPS, CHANNELS, CHANNELS),)))
    normalization(CHANNELS)
    layers.append(Layer("GlobalAveragePooling1D", {"data_format": "channels_last", "keepdims": False}))
    normalization(CHANNELS)
    dense(CHANNELS, UNITS, "relu")
    normalization(UNITS)
    inputs = UNITS
    while (units := min(UNITS, (size - total(layers)) // (4 * inputs))) > 0:
        dense(inputs, units, "relu")
        inputs = units
    dense(inputs, OUTPUTS, "linear")
    return layers


def total(layers: list[Layer]) -> int:
    return sum(weight.nbytes for layer in layers for weight in layer.weights)


def named(layers: list[Layer]):
    """Yields (the name that Keras gives to the layer, the layer)."""
    stems = {"Conv1D": "conv1d", "GlobalAveragePooling1D": "global_average_pooling1d"}
    stems |= {"BatchNormalization": "batch_normalization", "Dense": "dense"}
    numbers = {kind: itertools.count() for kind in stems}
    for layer in layers:
        number = next(numbers[layer.kind])
        yield stems[layer.kind] + (f"_{number}" if number else ""), layer


def config_json(layers: list[Layer]) -> str:
    """The model's config as Keras 3.15 writes it; keys that only training reads are left out."""

    def saved(module: str, kind: str, config: dict) -> dict:
        return {"module": module, "class_name": kind, "config": config, "registered_name": None}

    shape = [None, STEPS, CHANNELS]
    policy = saved("keras", "DTypePolicy", {"name": "float32"})
    port = {"batch_shape": shape, "dtype": "float32", "sparse": False, "ragged": False, "name": "input_layer"}
    entries = [saved("keras.layers", "InputLayer", port)]
    for name, layer in named(layers):
        config = {"name": name, "trainable": True, "dtype": policy} | layer.config
        entries.append(saved("keras.layers", layer.kind, config))
    config = {"name": "big", "trainable": True, "dtype": policy, "layers": entries, "build_input_shape": shape}
    model = saved("keras", "Sequential", config)
    return json.dumps(model | {"build_config": {"input_shape": shape}, "compile_config": {}})


def write_model(layers: list[Layer], path: Path):
    """Writes what Keras writes when it saves the model."""
    weights = path.with_suffix(".weights.h5")
    with h5py.File(weights, "w") as file:
        file.create_group("vars").attrs["name"] = "big"
        for name, layer in named(layers):
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for i, weight in enumerate(layer.weights):
                weight.write(group, str(i))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        metadata = {"keras_version": "3.15.1", "date_saved": "2024-01-01@00:00:00"}
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", config_json(layers))
        archive.write(weights, "model.weights.h5")
    weights.unlink()


def convert(program: Path, model: Path, target: Path, options: list[str]) -> int:
    """Converts the model, and returns the most memory that this took, in bytes."""
    command = [sys.executable, "-IS", "-c", MEASURE, program, "convert", model, "-o", target, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the conversion failed with status {done.returncode}")
    return int(done.stdout) * 1024


def run(model: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    # Copies of weights in another order would double the memory.
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    return session.run(None, {port.name: x[np.newaxis]})[0][0].astype(np.float64)


def check(program: Path, size: int, folder: Path, options: list[str]):
    layers = network(size)
    largest = max(weight.nbytes for layer in layers for weight in layer.weights)
    allowed = 64 * MIB + 2 * largest + 32 * MIB
    print(f"{total(layers) / GIB:.2f} GiB", end="", flush=True)

    started = time.monotonic()
    write_model(layers, folder / "big.keras")
    print(f", made in {time.monotonic() - started:.1f} s", end="", flush=True)

    started = time.monotonic()
    peak = convert(program, folder / "big.keras", folder / "big.onnx", options)
    seconds = time.monotonic() - started
    print(f", converted in {seconds:.1f} s with {peak / MIB:.0f} of {allowed / MIB:.0f} MiB", end="", flush=True)
    assert peak <= allowed, "the conversion took too much memory"
    (folder / "big.keras").unlink()

    x = np.random.default_rng(0).standard_normal((STEPS, CHANNELS), dtype=np.float32)
    ours = run(folder / "big.onnx", x)
    expected = x.astype(np.float64)
    for layer in layers:
        expected = layer.apply(expected)
    bound = 1e-5 * max(1.0, float(np.abs(expected).max()))
    worst = float(np.abs(ours - expected).max()) / bound
    print(f", worst difference {worst:.3f} of the bound, outputs up to {np.abs(expected).max():.2f}")
    assert worst <= 1.0, "onnxruntime computes something else"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path, help="k2o")
    parser.add_argument("gib", type=float, help="the size of the weights, at least 0.5")
    parser.add_argument("folder", type=Path, nargs="?", help="where the model is for a while")
    parser.add_argument("--external-data", action="store_true", help="converts with this option")
    arguments = parser.parse_args()
    if arguments.gib < 0.5:
        parser.error("there must be 0.5 GiB of weights at least")
    options = ["--external-data"] if arguments.external_data else []
    with tempfile.TemporaryDirectory(prefix="k2o-big-", dir=arguments.folder) as folder:
        check(arguments.program.resolve(), int(arguments.gib * GIB), Path(folder), options)


if __name__ == "__main__":
    main()
