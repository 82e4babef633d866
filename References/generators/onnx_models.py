"""Small ONNX models and the shapes of their values: `python onnx_models.py --out References/models`.

Each model lies as NAME.onnx, its weights by their dimensions only (as models whose data lie in another file), beside it
NAME.json: `values`, the shape of every value at `batch` by onnx.shape_inference and by running it in ONNX Runtime,
which have to agree (the inference does not compute with float constants), and `layers`, the convolutions merged by
shape, in vbench's one-line text. A transposed convolution is written as the problem whose backward-data pass it is.
Needs `pip install onnx==1.23.2 onnxruntime==1.32.0`, no PyTorch.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference

BATCH = 2  # where a model leaves it open


class Graph:
    """Nodes in their order; each method returns the name of its value."""

    def __init__(self, name, opset=17):
        self.name, self.opset = name, opset
        self.nodes, self.initializers, self.inputs, self.info, self.count = [], [], [], [], 0

    def input(self, name, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def weights(self, *dims, name=None):
        """Float32 weights without data: only the dimensions count."""
        name = name or f"w{len(self.initializers)}"
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights.bin"
        self.initializers.append(tensor)
        return name

    def constant(self, values, dtype=np.int64):
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op, *inputs, outputs=1, name=None, domain="", **attributes):
        self.count += 1
        names = [f"{op.lower()}{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        title = f"/{op}_{self.count}" if name is None else name
        self.nodes.append(helper.make_node(op, list(inputs), names, name=title, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, c, k, kernel, groups=1, name=None, **attributes):
        kernel = [kernel] * 2 if isinstance(kernel, int) else kernel
        w = self.weights(k, c // groups, *kernel)
        if groups > 1:
            attributes["group"] = groups
        return self.node("Conv", x, w, self.weights(k), name=name, **attributes)

    def model(self, output):
        out = helper.make_empty_tensor_value_info(output)
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [out], self.initializers, value_info=self.info)
        opsets = [helper.make_opsetid("", self.opset)]
        if any(node.domain for node in self.nodes):
            opsets.append(helper.make_opsetid("custom", 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset > 8 else 3,
                                 producer_name="onnx_models.py")


def same(kernel):
    return [kernel // 2] * 4


def residual():
    """Blocks with shortcuts, as in ResNet-18: equal layers, projections, a classifier."""
    g = Graph("residual")
    x = g.input("image", "N", 3, 64, 64)
    x = g.node("Relu", norm(g, g.conv(x, 3, 16, 7, pads=[3] * 4, strides=[2, 2], name="conv1"), 16))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c = 16
    for stage, k in enumerate([16, 32, 64]):
        for block in range(2):
            stride = 2 if stage and not block else 1
            title = f"layer{stage + 1}.{block}"
            y = g.node("Relu", norm(g, g.conv(x, c, k, 3, pads=[1] * 4, strides=[stride] * 2, name=f"{title}.conv1"), k))
            y = norm(g, g.conv(y, k, k, 3, pads=[1] * 4, name=f"{title}.conv2"), k)
            if stride == 2:
                x = norm(g, g.conv(x, c, k, 1, strides=[2, 2], name=f"{title}.down"), k)
            x, c = g.node("Relu", g.node("Add", x, y)), k
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    return g.model(g.node("Gemm", x, g.weights(10, 64), g.weights(10), transB=1))


def norm(g, x, c):
    return g.node("BatchNormalization", x, *[g.weights(c) for _ in range(4)])


def mobile():
    """Depthwise layers, squeeze and excitation, channel shuffle through Reshape and Transpose, Split and Concat."""
    g = Graph("mobile", opset=18)
    x = g.input("image", "batch", 3, 32, 32)
    x = g.node("Clip", g.conv(x, 3, 16, 3, pads=[1] * 4, strides=[2, 2]), g.constant(0, np.float32),
               g.constant(6, np.float32))
    y = g.conv(x, 16, 16, 3, groups=16, pads=[1] * 4)
    s = g.node("HardSigmoid", g.conv(g.node("ReduceMean", y, g.constant([2, 3]), keepdims=1), 16, 16, 1))
    y = g.conv(g.node("Mul", y, s), 16, 24, 1)
    left, right = g.node("Split", y, outputs=2, axis=1, num_outputs=2)
    right = g.conv(right, 12, 12, 3, groups=12, pads=[1] * 4)
    y = g.node("Concat", left, right, axis=1)
    y = g.node("Reshape", y, g.constant([0, 2, 12, 16, -1]))
    y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 1, 3, 4]), g.constant([0, 24, 16, 16]))
    y = g.node("Dropout", g.node("Sigmoid", y))
    y = g.conv(y, 24, 24, 5, groups=4, pads=[2] * 4, strides=[2, 1])
    y = g.node("PRelu", y, g.weights(24, 1, 1))
    y = g.node("Slice", y, g.constant([0, 1]), g.constant([2**63 - 1, -1]), g.constant([1, 2]), g.constant([2, 1]))
    y = g.conv(y, 12, 8, 1, name="")
    y = g.node("Squeeze", g.node("GlobalMaxPool", y), g.constant([-1, -2]))
    return g.model(g.node("MatMul", y, g.weights(8, 10)))


def automatic():
    """Automatic padding, dilation, poolings that round up."""
    g = Graph("automatic")
    x = g.input("image", 1, 4, 33, 30)
    a = g.conv(x, 4, 8, 5, auto_pad="SAME_UPPER", strides=[2, 2])
    b = g.conv(x, 4, 8, [4, 2], auto_pad="SAME_LOWER", strides=[2, 2])
    a = g.node("Concat", a, b, axis=-3)
    c = g.conv(a, 16, 8, 3, auto_pad="VALID", dilations=[2, 3])
    c = g.node("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    d = g.node("AveragePool", a, kernel_shape=[3, 4], auto_pad="SAME_UPPER", strides=[2, 3])
    d = g.node("AveragePool", g.conv(d, 16, 8, 3, auto_pad="SAME_UPPER"), kernel_shape=[3, 3], strides=[2, 2],
               pads=[1, 0, 0, 1])
    d = g.conv(g.node("MaxPool", d, kernel_shape=[2, 2], dilations=[2, 1]), 8, 8, [1, 2], pads=[1, 0, 0, 1])
    return g.model(g.node("Add", g.node("GlobalAveragePool", c), g.node("GlobalAveragePool", d)))


def decoder():
    """Transposed convolutions, resizing by scales and by computed sizes, pixel shuffle, padding."""
    g = Graph("decoder")
    x = g.input("image", "N", 8, 9, 10)
    a = g.node("ConvTranspose", x, g.weights(8, 6, 3, 3), strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])
    a = g.node("ConvTranspose", a, g.weights(6, 2, 4, 4), group=3, strides=[2, 2], pads=[1] * 4, name="up2")
    b = g.node("ConvTranspose", x, g.weights(8, 4, 3, 2), auto_pad="SAME_UPPER", strides=[3, 2])
    b = g.node("ConvTranspose", b, g.weights(4, 4, 3, 3), dilations=[2, 1], strides=[1, 2], output_shape=[30, 40])
    c = g.node("Resize", x, "", g.constant([1, 1, 2, 2.5], np.float32), mode="nearest")
    c = g.conv(c, 8, 12, 3, pads=same(3))
    c = g.node("DepthToSpace", c, blocksize=2)
    # Twice the image's size, computed as an exporter does it.
    sizes = g.node("Slice", g.node("Shape", x), g.constant([2]), g.constant([4]))
    sizes = g.node("Cast", g.node("Floor", g.node("Mul", g.node("Cast", sizes, to=1), g.constant([2, 2], np.float32))),
                   to=7)
    sizes = g.node("Concat", g.node("Slice", g.node("Shape", c), g.constant([0]), g.constant([2])), sizes, axis=0)
    d = g.conv(g.node("Resize", c, "", "", sizes, mode="linear"), 3, 4, 3, pads=same(3))
    d = g.node("Pad", d, g.constant([0, 0, 1, 2, 0, 0, 3, -1]))
    d = g.conv(d, 4, 4, 3)
    e = g.conv(g.node("SpaceToDepth", a, blocksize=2), 24, 4, 1)
    tail = [g.node("GlobalAveragePool", v) for v in (b, d, e)]
    return g.model(g.node("Sum", *tail))


def ranks():
    """One and three spatial axes, and a filter that another node makes."""
    g = Graph("ranks")
    a = g.conv(g.input("sound", "N", 2, 50), 2, 4, [5], pads=[2, 1], strides=[3])
    a = g.node("GlobalAveragePool", g.conv(g.node("MaxPool", a, kernel_shape=[2]), 4, 6, [3], dilations=[2]))
    b = g.conv(g.input("film", "N", 2, 6, 12, 10), 2, 6, [3, 3, 2], pads=[1, 1, 0, 1, 1, 1], strides=[1, 2, 2])
    b = g.node("ReduceMean", g.conv(b, 6, 6, [1, 3, 3], groups=2), axes=[3, 4], keepdims=0)
    w = g.node("Transpose", g.weights(3, 3, 6, 4), perm=[3, 2, 0, 1])
    c = g.node("Conv", g.input("image", "N", 6, 8, 8), w)
    tail = g.node("Add", a, g.node("ReduceMax", b, axes=[2], keepdims=1))
    return g.model(g.node("Concat", tail, g.node("Unsqueeze", g.node("ReduceMax", c, axes=[2, 3], keepdims=0),
                                               g.constant([2])), axis=1))


def version9():
    """Operators as they were in version 9: attributes where later versions have inputs."""
    g = Graph("version9", opset=9)
    x = g.input("image", 1, 3, 20, 24)
    g.inputs.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, [8, 3, 3, 3]))
    x = g.conv(x, 3, 8, 3, pads=same(3))
    x = g.node("Upsample", x, g.constant([1, 1, 2, 1.5], np.float32), mode="nearest")
    x = g.conv(g.node("Pad", x, pads=[0, 0, 1, 1, 0, 0, 1, 1]), 8, 8, 3)
    x = g.node("Slice", x, axes=[2, 3], starts=[1, -9], ends=[2**31, -1])
    a, b = g.node("Split", x, outputs=2, axis=1, split=[3, 5])
    b = g.conv(g.node("Unsqueeze", g.node("Squeeze", b, axes=[0]), axes=[0]), 5, 3, 1)
    x = g.node("Max", a, b)
    shape = g.node("Constant", value=numpy_helper.from_array(np.array([-1, 3, 4], np.int64), "shape"))
    x = g.conv(g.node("Reshape", x, shape), 3, 4, [3])
    gathered = g.node("Gather", g.node("Shape", x), g.constant(1))
    tail = g.node("Concat", g.node("Unsqueeze", gathered, axes=[0]), g.constant([-1]), axis=0)
    return g.model(g.node("Reshape", x, tail))


def blocked():
    """An operator that nobody knows before one convolution, with a stated shape before another, and a dynamic size."""
    g = Graph("blocked")
    x = g.input("image", "N", 3, 16, 16)
    a = g.conv(x, 3, 4, 3, name="good")
    b = g.node("Frobnicate", a, domain="custom", name="frob")
    b = g.conv(b, 4, 4, 3, name="behind")
    stated = g.node("Frobnicate", a, domain="custom", name="stated")
    g.info.append(helper.make_tensor_value_info(stated, TensorProto.FLOAT, ["N", 4, 9, 9]))
    c = g.conv(stated, 4, 4, 3, name="told")
    places = g.node("NonZero", a)
    places = g.node("Transpose", g.node("Cast", places, to=1))
    return g.model(g.node("Concat", g.node("Flatten", b), g.node("Flatten", c), g.node("MatMul", places, places), axis=1))


MODELS = [residual, mobile, automatic, decoder, ranks, version9, blocked]


def inferred(model):
    """Shapes by name, with BATCH where the batch is open."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value in model.graph.input:
        dim = value.type.tensor_type.shape.dim[0]
        if dim.dim_param:
            dim.dim_value = BATCH
    for value in model.graph.value_info:
        if value.type.tensor_type.shape.dim[0].dim_param:
            value.type.tensor_type.shape.dim[0].dim_value = BATCH
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            if all(d.HasField("dim_value") for d in dims):
                shapes[value.name] = [d.dim_value for d in dims]
    return shapes


def evaluated(model):
    """Shapes by name, as ONNX Runtime finds them with zeros for all numbers."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(list(tensor.dims), np.float32), tensor.name))
    weights = {t.name for t in model.graph.initializer}
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for n in model.graph.node for name in n.output)
    feeds = {}
    for value in model.graph.input:
        if value.name not in weights:
            sizes = [d.dim_value or BATCH for d in value.type.tensor_type.shape.dim]
            feeds[value.name] = np.zeros(sizes, np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {o.name: list(np.shape(r)) for o, r in zip(session.get_outputs(), session.run(None, feeds))}


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def problem_text(node, shapes):
    """The convolution of a node, of a transposed one the convolution that it undoes."""
    at = attributes(node)
    x, w, y = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "ConvTranspose":
        small, large = x, y  # the convolution takes y to x
        transposed = True
    else:
        small, large = y, x
        transposed = False
    rank = len(x) - 2
    strides = list(at.get("strides", [1] * rank))
    dilations = list(at.get("dilations", [1] * rank))
    pads = list(at.get("pads", [0] * 2 * rank))
    auto = at.get("auto_pad", b"NOTSET").decode()
    reach = [(t - 1) * d + 1 for t, d in zip(w[2:], dilations)]
    sides = []
    for i in range(rank):
        before, after = pads[i], pads[rank + i]
        if auto.startswith("SAME") or "output_shape" in at:
            extra = list(at.get("output_padding", [0] * rank))[i]
            total = max(0, (small[2 + i] - 1) * strides[i] + reach[i] + extra - large[2 + i])
            upper = auto == "SAME_UPPER"
            before = total // 2 if upper else total - total // 2
            after = total - before
        sides += [before, after]
        assert (large[2 + i] + before + after - reach[i]) // strides[i] + 1 == small[2 + i], (node.name, i)
    axes = ["dhw"[3 - rank + i] for i in range(rank)]
    taps = ["trs"[3 - rank + i] for i in range(rank)]
    text = f"conv{rank}d:n{x[0]}c{large[1]}" + "".join(f"{a}{v}" for a, v in zip(axes, large[2:]))
    text += f"k{small[1]}" + "".join(f"{a}{v}" for a, v in zip(taps, w[2:]))

    def per_axis(letter, values):
        if len(set(values)) > 1:
            return letter + "x".join(map(str, values))
        return "" if values[0] == 1 else f"{letter}{values[0]}"

    text += per_axis("u", strides)
    if len(set(sides)) > 1:
        text += "p" + ",".join(map(str, sides))
    elif sides[0]:
        text += f"p{sides[0]}"
    text += per_axis("l", dilations)
    groups = at.get("group", 1)
    return text + (f"g{groups}" if groups > 1 else ""), transposed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for make in MODELS:
        model = make()
        shapes = inferred(model)
        if make is not blocked:
            found = evaluated(model)
            differing = {n: (found[n], shapes[n]) for n in found.keys() & shapes.keys() if found[n] != shapes[n]}
            assert not differing, (make.__name__, differing)
            shapes = found | shapes
        layers, left_out = {}, []
        for node in model.graph.node:
            if node.op_type in ("Conv", "ConvTranspose"):
                name = node.name or node.output[0]
                if node.input[0] in shapes and node.output[0] in shapes:
                    layers.setdefault(problem_text(node, shapes), []).append(name)
                else:
                    left_out.append(name)
        data = model.SerializeToString()
        name = make.__name__
        (out / f"{name}.onnx").write_bytes(data)
        answer = {
            "producer": f"onnx {onnx.__version__}", "sha256": hashlib.sha256(data).hexdigest(), "batch": BATCH,
            "layers": [{"problem": text, "transposed": transposed, "nodes": nodes}
                       for (text, transposed), nodes in layers.items()],
            "left_out": left_out, "values": dict(sorted(shapes.items())),
        }
        (out / f"{name}.json").write_text(json.dumps(answer, indent=1) + "\n")
        print(f"{name}: {len(data)} bytes, {sum(map(len, layers.values()))} convolutions of {len(layers)} shapes, "
              f"{len(shapes)} values, left out: {left_out}")


if __name__ == "__main__":
    main()
