"""Exports every supported fixture in every form and checks the files with ONNX's own tools.

Each file passes `onnx.checker` with full checks and strict shape inference, and onnxruntime computes from it what
Keras computed. One form of each model is also checked at other opsets, as written for tract, with all sizes fixed, with
channels-first inputs and outputs, with weights in a file of their own and in half precision, and models of sequences that
are padded at their ends with lengths in place of masks.

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
        yield ["--io-layout", "channels-first"], 17
        yield ["--external-data"], 18
        yield ["--weights-type", "f16"], 20
        yield ["--weights-type", "bf16"], 21
        shapes = [value.shape for _, value in np.load(case / "inputs.npz").items()]
        yield ["--fixed", shapes], 17
        if "_right_" in case.name:
            yield ["--assume-right-padded"], 17


def nodes(graph):
    """Every node, those in the bodies of others included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


def channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its narrow weights in single precision, and nothing that casts them."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    casts = {node.input[0]: node for node in model.graph.node if node.op_type == "Cast"}
    for tensor in wide.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16):
            cast = casts[tensor.name]
            wide.graph.node.remove(cast)
            array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, cast.output[0]))
    return wide


def check(model: Path, case: Path, keras: str, opset: int, options: list) -> float:
    """The worst difference between onnxruntime and Keras, as a share of what it may be."""
    onnx.checker.check_model(model, full_check=True)
    loaded = onnx.load(model)
    onnx.shape_inference.infer_shapes(loaded, check_type=True, strict_mode=True, data_prop=True)
    assert [(o.domain, o.version) for o in loaded.opset_import] == [("", opset)]
    found = {node.op_type for node in nodes(loaded.graph)} & FORBIDDEN
    assert not found, f"has {found}"
    # One-dimensional convolution stays one-dimensional.
    ranks = {port.name: len(port.dims) for port in loaded.graph.initializer}
    ranks |= {n.output[0]: ranks[n.input[0]] for n in loaded.graph.node if n.op_type == "Cast" and n.input[0] in ranks}
    kernels = [ranks[node.input[1]] for node in loaded.graph.node if node.op_type == "Conv"]
    assert "channels-first" in options or all(rank == 3 for rank in kernels), f"kernels of ranks {kernels}"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    arrays = list(np.load(case / "inputs.npz").items())
    names = [port.name for port in session.get_inputs()]
    assert len(names) == len(arrays)
    if keras == "keras3":
        assert names == [name for name, _ in arrays], f"inputs {names}"
    # Keras 2 gives inputs other names, in the same order.
    if "channels-first" in options:
        arrays = [(name, channels_first(array)) for name, array in arrays]
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    feeds = {port.name: array.astype(types[port.type]) for port, (_, array) in zip(session.get_inputs(), arrays)}
    outputs = session.run(None, feeds)
    expected = dict(np.load(case / f"{keras}.outputs.npz"))
    if "channels-first" in options:
        expected = {name: channels_first(array) for name, array in expected.items()}
    if "--fixed" in options:
        ports = [*loaded.graph.input, *loaded.graph.output]
        sizes = [[dim.dim_value for dim in port.type.tensor_type.shape.dim] for port in ports]
        assert sizes == [list(array.shape) for array in [*feeds.values(), *expected.values()]], f"shapes {sizes}"
    if "--weights-type" in options:
        # Rounded weights give other outputs; those that they give in single precision are what is expected.
        precise = onnxruntime.InferenceSession(widened(loaded).SerializeToString())
        expected = dict(zip(expected, precise.run(None, feeds)))
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


def convert_and_check(program, case, arguments, keras, opset, options, target) -> float:
    flags = options
    if "--fixed" in options:
        # Keras 2 gives inputs other names, in the same order.
        names = input_names(program, arguments, target)
        shapes = [f"{name}={','.join(map(str, shape))}" for name, shape in zip(names, options[1])]
        flags = [flag for shape in shapes for flag in ("--input-shape", shape)]
    convert(program, [*arguments, *flags, "-o", target, "--opset", str(opset)])
    return check(target, case, keras, opset, options)


def input_names(program, arguments, target) -> list:
    convert(program, [*arguments, "-o", target])
    return [port.name for port in onnx.load(target, load_external_data=False).graph.input]


def convert(program, arguments) -> None:
    subprocess.run([program, "convert", *arguments], check=True, capture_output=True, text=True)


def main() -> int:
    program, models = sys.argv[1], Path(sys.argv[2])
    passed, failures, worst = 0, [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        unsupported = set((models.parent / "unsupported.txt").read_text().splitlines())
        for case in sorted(case for case in models.iterdir() if case.name not in unsupported):
            for number, (arguments, keras) in enumerate(forms(case)):
                for options, opset in variants(case, number == 0):
                    named = " ".join([*(Path(argument).name for argument in arguments), *map(str, options)])
                    what = f"{case.name} {named} opset {opset}"
                    try:
                        worst = max(worst, convert_and_check(program, case, arguments, keras, opset, options, target))
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
