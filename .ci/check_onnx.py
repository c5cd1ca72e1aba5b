"""Exports every supported fixture in every form and checks the files with ONNX's own tools.

Each file passes `onnx.checker` with full checks and strict shape inference, and onnxruntime computes from it what
Keras computed. One form of each model is also checked at other opsets and as written for tract, and models of sequences
that are padded at their ends with lengths in place of masks.

    python .ci/check_onnx.py <the k2o program> <the folder fixtures/models>
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

OPSETS = (13, 15, 17, 18, 20, 21, 23, 28)
FORBIDDEN = {"Loop", "ConstantOfShape"}


def forms(case: Path):
    """Yields (arguments that name the model, the Keras version that wrote it)."""
    for name in json.loads((case / "case.json").read_text())["forms"]:
        keras = name.split(".")[0]
        if "weights" in name:
            yield [case / f"{keras}.json", "--weights", case / name], keras
        elif not name.endswith(".json"):
            yield [case / name], keras


def variants(case: Path, first: bool):
    """Yields (options of the export, the opset) for a form of a model, `first` being the one that is tried most."""
    yield [], 17
    if first:
        yield from (([], opset) for opset in OPSETS if opset != 17)
        yield ["--target", "tract"], 17
        if "_right_" in case.name:
            yield ["--assume-right-padded"], 17


def nodes(graph):
    """Every node, those in the bodies of others included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


def check(model: Path, case: Path, keras: str, opset: int) -> float:
    """The worst difference between onnxruntime and Keras, as a share of what it may be."""
    loaded = onnx.load(model)
    onnx.checker.check_model(loaded, full_check=True)
    onnx.shape_inference.infer_shapes(loaded, check_type=True, strict_mode=True, data_prop=True)
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", opset)]
    found = {node.op_type for node in nodes(loaded.graph)} & FORBIDDEN
    assert not found, f"has {found}"
    # One-dimensional convolution stays one-dimensional.
    ranks = {port.name: len(port.dims) for port in loaded.graph.initializer}
    kernels = [ranks[node.input[1]] for node in loaded.graph.node if node.op_type == "Conv"]
    assert all(rank == 3 for rank in kernels), f"kernels of ranks {kernels}"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    arrays = list(np.load(case / "inputs.npz").items())
    names = [port.name for port in session.get_inputs()]
    assert len(names) == len(arrays)
    if keras == "keras3":
        assert names == [name for name, _ in arrays], f"inputs {names}"
    # Keras 2 gives inputs other names, in the same order.
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    feeds = {port.name: array.astype(types[port.type]) for port, (_, array) in zip(session.get_inputs(), arrays)}
    outputs = session.run(None, feeds)
    expected = np.load(case / f"{keras}.outputs.npz")
    # A tensor cannot be called like an input, so an output that is one gets a number.
    wanted = [f"{name}_1" if name in names else name for name in expected.keys()]
    given = [port.name for port in session.get_outputs()]
    assert given == wanted, f"outputs {given}, not {wanted}"
    worst = 0.0
    for ours, name in zip(outputs, expected.keys()):
        theirs = expected[name]
        assert ours.shape == theirs.shape, f"{name}: {ours.shape}, not {theirs.shape}"
        bound = 1e-5 * max(1.0, float(np.abs(theirs).max()))
        worst = max(worst, float(np.abs(ours.astype(np.float64) - theirs).max()) / bound)
    assert worst <= 1.0, f"differs from Keras by {worst:.2f} times the bound"
    return worst


def main() -> int:
    program, models = sys.argv[1], Path(sys.argv[2])
    passed, failures, worst = 0, [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        unsupported = set((models.parent / "unsupported.txt").read_text().splitlines())
        for case in sorted(case for case in models.iterdir() if case.name not in unsupported):
            for number, (arguments, keras) in enumerate(forms(case)):
                for options, opset in variants(case, number == 0):
                    what = f"{case.name} {' '.join(Path(a).name for a in [*arguments, *options])} opset {opset}"
                    command = [program, "convert", *arguments, *options, "-o", target, "--opset", str(opset)]
                    try:
                        subprocess.run(command, check=True, capture_output=True, text=True)
                        worst = max(worst, check(target, case, keras, opset))
                        passed += 1
                    except subprocess.CalledProcessError as error:
                        failures.append(f"{what}: {error.stderr}")
                    except Exception as error:  # whatever a checker raises is a finding
                        failures.append(f"{what}: {error}")
    for failure in failures:
        print(failure)
    print(f"worst difference from Keras: {worst:.3f} of the bound")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
