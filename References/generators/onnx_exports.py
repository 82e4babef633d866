"""Networks as PyTorch exports them to ONNX: `python onnx_exports.py --out References/models/exports`.

Each network is exported by the exporter that the entry names (`script`: TorchScript's tracer, `dynamo`: torch.export), with fixed
sizes or with an open batch or image size. Beside NAME.onnx lies NAME.json: `layers`, the convolutions that PyTorch itself
carried out when the network ran on an input of `shape`, merged by shape, in vbench's one-line text and in no order. A transposed
convolution is written as the problem whose backward-data pass it is. Nothing of this comes from the exported file.

Weights are left out of the files: tensors of more than 64 numbers keep their dimensions only, as in models whose data lie in
another file. Names of the Python sources are left out too. Needs `pip install torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2`.
"""

import argparse
import collections
import hashlib
import json
import logging
import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import TensorProto
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

# Of larger tensors only the dimensions are kept; smaller ones may be constants that shapes are computed from.
MOST_NUMBERS = 64


def block(c, k, size=3, stride=1, groups=1, act=nn.ReLU):
    return nn.Sequential(nn.Conv2d(c, k, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(k), act())


class Residual(nn.Module):
    def __init__(self, c, k, stride):
        super().__init__()
        self.body = nn.Sequential(block(c, k, stride=stride), nn.Conv2d(k, k, 3, 1, 1, bias=False), nn.BatchNorm2d(k))
        self.down = None
        if stride > 1 or c != k:
            self.down = nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))

    def forward(self, x):
        return F.relu(self.body(x) + (x if self.down is None else self.down(x)))


class ResNet(nn.Module):
    """ResNet-18 at a quarter of its width, as torchvision has it."""

    def __init__(self, w=16):
        super().__init__()
        self.stem = nn.Sequential(block(3, w, 7, 2), nn.MaxPool2d(3, 2, 1))
        stages, c = [], w
        for i in range(4):
            k = w << i
            stages += [Residual(c, k, 1 if i == 0 else 2), Residual(k, k, 1)]
            c = k
        self.stages = nn.Sequential(*stages)
        self.pool, self.head = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(c, 10)

    def forward(self, x):
        return self.head(torch.flatten(self.pool(self.stages(self.stem(x))), 1))


class Inverted(nn.Module):
    """MobileNet-V3's block: expansion, depthwise, squeeze and excitation, projection."""

    def __init__(self, c, hidden, k, size, stride):
        super().__init__()
        self.expand = block(c, hidden, 1, act=nn.Hardswish)
        self.depth = block(hidden, hidden, size, stride, hidden, nn.Hardswish)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(hidden, 8, 1), nn.ReLU(),
                                     nn.Conv2d(8, hidden, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(hidden, k, 1, bias=False), nn.BatchNorm2d(k))
        self.adds = c == k and stride == 1

    def forward(self, x):
        y = self.depth(self.expand(x))
        y = self.project(y * self.squeeze(y))
        return x + y if self.adds else y


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(3, 16, 3, 2, act=nn.Hardswish), Inverted(16, 32, 16, 3, 1), Inverted(16, 48, 24, 5, 2),
                                  Inverted(24, 64, 24, 5, 1), Inverted(24, 64, 24, 5, 1), block(24, 96, 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 10))

    def forward(self, x):
        return self.head(self.body(x))


class Shuffle(nn.Module):
    """ShuffleNet-V2: halves of the channels, one of them shuffled back in."""

    def __init__(self, c=16):
        super().__init__()
        self.stem, h = block(3, c, 3, 2), c // 2
        self.branches = nn.ModuleList(
            nn.Sequential(block(h, h, 1), block(h, h, 3, groups=h, act=nn.Identity), block(h, h, 1)) for _ in range(3))
        self.head = nn.Linear(c, 10)

    def forward(self, x):
        x = self.stem(x)
        for branch in self.branches:
            a, b = x.chunk(2, dim=1)
            x = torch.cat((a, branch(b)), dim=1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean([2, 3]))


class UNet(nn.Module):
    """Down by pooling, up by transposed convolutions, once bilinear; skips are padded to fit, as in the well-known code."""

    def __init__(self, w=8):
        super().__init__()
        self.inner = nn.Sequential(block(3, w), block(w, w))
        self.down1 = nn.Sequential(nn.MaxPool2d(2), block(w, 2 * w), block(2 * w, 2 * w))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), block(2 * w, 4 * w), block(4 * w, 4 * w))
        self.up1 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2)
        self.join1 = nn.Sequential(block(4 * w, 2 * w), block(2 * w, 2 * w))
        self.up2 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.join2 = nn.Sequential(block(3 * w, w), block(w, w))
        self.last = nn.Sequential(nn.ConvTranspose2d(w, w, 4, 2, 1, groups=2), nn.Conv2d(w, 2, 1))

    @staticmethod
    def fit(x, skip):
        dh, dw = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        return torch.cat([skip, F.pad(x, [dw // 2, dw - dw // 2, dh // 2, dh - dh // 2])], dim=1)

    def forward(self, x):
        a = self.inner(x)
        b = self.down1(a)
        x = self.join1(self.fit(self.up1(self.down2(b)), b))
        return self.last(self.join2(self.fit(self.up2(x), a)))


class Detector(nn.Module):
    """A feature pyramid (SiLU, spatial pyramid pooling, slices for the stem), heads that all levels share, decoded boxes."""

    def __init__(self, w=8, anchors=3, classes=4):
        super().__init__()
        self.anchors, self.outputs = anchors, 5 + classes
        self.stem = block(12, w, 3, act=nn.SiLU)
        self.levels = nn.ModuleList(block(w << i, w << (i + 1), 3, 2, act=nn.SiLU) for i in range(3))
        self.spp = nn.ModuleList(nn.MaxPool2d(k, 1, k // 2) for k in (5, 9))
        self.mix = block(3 * (w << 3), w << 3, 1, act=nn.SiLU)
        self.laterals = nn.ModuleList(nn.Conv2d(w << (i + 1), 16, 1) for i in range(3))
        self.smooth = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.head = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, anchors * self.outputs, 1))

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        maps, x = [], self.stem(x)
        for level in self.levels:
            x = level(x)
            maps.append(x)
        maps[-1] = self.mix(torch.cat([maps[-1]] + [pool(maps[-1]) for pool in self.spp], 1))
        merged, last = [], None
        for i in reversed(range(3)):
            y = self.laterals[i](maps[i])
            if last is not None:
                y = y + F.interpolate(last, size=y.shape[-2:], mode="nearest")
            last = y
            merged.append(self.smooth[i](y))
        boxes = []
        for y in merged:
            y = self.head(y)
            n, _, h, w = y.shape
            y = y.view(n, self.anchors, self.outputs, h, w).permute(0, 1, 3, 4, 2)
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((columns, rows), 2).view(1, 1, h, w, 2).float()
            xy = (y[..., 0:2].sigmoid() * 2 - 0.5 + grid) * 8
            boxes.append(torch.cat((xy, y[..., 2:].sigmoid()), -1).reshape(n, -1, self.outputs))
        return torch.cat(boxes, 1)


class Wave(nn.Module):
    """One spatial axis: causal padding, growing dilation, gates; a recurrent layer between convolutions; an upsampling end."""

    def __init__(self, c=16):
        super().__init__()
        self.first = nn.Conv1d(1, c, 9, stride=4, padding=4)
        self.gates = nn.ModuleList(nn.Conv1d(c, 2 * c, 3, dilation=1 << i) for i in range(4))
        self.outs = nn.ModuleList(nn.Conv1d(c, c, 1) for _ in range(4))
        self.rnn = nn.GRU(c, c // 2, bidirectional=True, batch_first=True)
        self.up = nn.ConvTranspose1d(c, 8, 8, stride=4, padding=2)
        self.last = nn.Conv1d(8, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, x):
        x = self.first(x)
        for i, (gate, out) in enumerate(zip(self.gates, self.outs)):
            a, b = gate(F.pad(x, (2 << i, 0))).split(x.shape[1], dim=1)
            x = x + out(torch.tanh(a) * torch.sigmoid(b))
        x = self.rnn(x.transpose(1, 2))[0].transpose(1, 2)
        return self.last(F.leaky_relu(self.up(x), 0.1))


class Video(nn.Module):
    """Three spatial axes, and (2+1)-D factors of such filters."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 8, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(8), nn.ReLU())
        self.space = nn.Sequential(nn.Conv3d(8, 16, (1, 3, 3), (1, 2, 2), (0, 1, 1)), nn.ReLU())
        self.time = nn.Sequential(nn.Conv3d(16, 16, (3, 1, 1), (2, 1, 1), (1, 0, 0), groups=4), nn.ReLU())
        self.up = nn.ConvTranspose3d(16, 8, (2, 2, 2), (2, 2, 2))
        self.pool, self.head = nn.AvgPool3d(2, 2), nn.Linear(2048, 5)

    def forward(self, x):
        return self.head(self.pool(self.up(self.time(self.space(self.stem(x))))).flatten(1))


class ConvNeXt(nn.Module):
    """Patches, 7×7 depthwise, linear layers in channels-last, layer norm, then attention over pixels and a convolution behind it."""

    def __init__(self, c=16):
        super().__init__()
        self.patch = nn.Conv2d(3, c, 4, 4)
        self.depth = nn.ModuleList(nn.Conv2d(c, c, 7, padding=3, groups=c) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(c) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(c, 4 * c), nn.GELU(), nn.Linear(4 * c, c)) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(c))
        self.attention = nn.MultiheadAttention(c, 4, batch_first=True)
        self.down = nn.Sequential(nn.GroupNorm(4, c), nn.Conv2d(c, 2 * c, 2, 2))

    def forward(self, x):
        x = self.patch(x)
        for depth, norm, mlp in zip(self.depth, self.norms, self.mlps):
            y = mlp(norm(depth(x).permute(0, 2, 3, 1))) * self.scale
            x = x + y.permute(0, 3, 1, 2)
        n, c, h, w = x.shape
        t = x.flatten(2).transpose(1, 2)
        t = t + self.attention(t, t, t, need_weights=False)[0]
        return self.down(t.transpose(1, 2).reshape(n, c, h, w))


class Segmenter(nn.Module):
    """Atrous spatial pyramid pooling, as in DeepLab: a global branch resized back, a decoder that resizes to the image."""

    def __init__(self, c=16):
        super().__init__()
        self.stem = nn.Sequential(block(3, c, 3, 2), block(c, c, 3, 2))
        self.branches = nn.ModuleList(
            [block(c, 8, 1)] + [nn.Sequential(nn.Conv2d(c, 8, 3, padding=d, dilation=d, bias=False), nn.BatchNorm2d(8), nn.ReLU())
                                for d in (2, 4, 6)])
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 8, 1, bias=False), nn.ReLU())
        self.project = block(40, 16, 1)
        self.shuffle = nn.Sequential(nn.Conv2d(16, 16, 3, padding="same"), nn.PixelShuffle(2))
        self.refine, self.last = nn.Conv2d(4, 4, (1, 5), padding=(0, 2)), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        y = self.stem(x)
        whole = F.interpolate(self.whole(y), size=y.shape[-2:], mode="bilinear", align_corners=False)
        y = self.shuffle(self.project(torch.cat([b(y) for b in self.branches] + [whole], dim=1)))
        y = self.refine(F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False))
        return self.last(y)


def entry(name, exporter, module, *shape, batch=False, image=False, opset=None):
    return {"name": f"{name}-{exporter}" + ("-image" if image else "-batch" if batch else ""), "exporter": exporter,
            "module": module, "shape": shape, "batch": batch, "image": image, "opset": opset}


EXPORTS = [
    entry("resnet", "script", ResNet, 2, 3, 64, 96, batch=True, opset=13),
    entry("resnet", "dynamo", ResNet, 2, 3, 64, 96, batch=True),
    entry("mobilenet", "script", MobileNet, 1, 3, 64, 64),
    entry("mobilenet", "dynamo", MobileNet, 2, 3, 64, 64, batch=True),
    entry("shuffle", "script", Shuffle, 2, 3, 32, 32, batch=True),
    entry("shuffle", "dynamo", Shuffle, 2, 3, 32, 32, batch=True),
    entry("unet", "script", UNet, 2, 3, 44, 60, batch=True, image=True, opset=11),
    entry("unet", "dynamo", UNet, 2, 3, 44, 60, batch=True, image=True),
    entry("detector", "script", Detector, 2, 3, 96, 64, batch=True, image=True),
    entry("detector", "dynamo", Detector, 2, 3, 96, 64),
    entry("detector", "dynamo", Detector, 2, 3, 96, 64, batch=True, image=True),
    entry("wave", "script", Wave, 2, 1, 256, batch=True, image=True),
    entry("wave", "dynamo", Wave, 2, 1, 256, batch=True),
    entry("video", "script", Video, 2, 3, 8, 32, 32, batch=True),
    entry("video", "dynamo", Video, 1, 3, 8, 32, 32),
    entry("convnext", "script", ConvNeXt, 2, 3, 32, 48, batch=True, image=True),
    entry("convnext", "dynamo", ConvNeXt, 2, 3, 32, 48, batch=True, image=True),
    entry("segmenter", "script", Segmenter, 2, 3, 48, 72, batch=True, image=True),
    entry("segmenter", "dynamo", Segmenter, 2, 3, 48, 72, batch=True, image=True),
]


class Convolutions(TorchDispatchMode):
    """What PyTorch itself is asked to convolve."""

    def __init__(self):
        super().__init__()
        self.found = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.convolution.default:
            x, w, _, stride, padding, dilation, transposed, _, groups = args
            large, small = (result, x) if transposed else (x, result)
            self.found[text(large.shape, small.shape, w.shape[2:], stride, padding, dilation, groups), transposed] += 1
        return result


def text(large, small, filter, stride, padding, dilation, groups):
    rank = len(large) - 2

    def sizes(letters, values):
        return "".join(f"{a}{v}" for a, v in zip(letters[3 - rank:], values))

    def per_axis(letter, values, separator, standard):
        values = list(values) * (rank if len(values) == 1 else 1)
        if len(set(values)) > 1:
            return letter + separator.join(map(str, values))
        return "" if values[0] == standard else f"{letter}{values[0]}"

    sides = [p for p in (list(padding) * (rank if len(padding) == 1 else 1)) for _ in range(2)]
    return (f"conv{rank}d:n{large[0]}c{large[1]}" + sizes("dhw", large[2:]) + f"k{small[1]}" + sizes("trs", filter)
            + per_axis("u", stride, "x", 1) + per_axis("p", sides, ",", 0) + per_axis("l", dilation, "x", 1)
            + (f"g{groups}" if groups > 1 else ""))


def export(entry, path):
    """Exports into a folder; weights of the dynamo exporter's large models lie in a file of their own."""
    torch.manual_seed(1)
    module = entry["module"]().eval()
    x = torch.randn(*entry["shape"])
    with torch.no_grad(), Convolutions() as convolutions:
        module(x)
    axes = ([0] if entry["batch"] else []) + (list(range(2, x.dim())) if entry["image"] else [])
    names = {0: "batch", **{i: "dhw"[i - 2 + 5 - x.dim()] + "_size" for i in range(2, x.dim())}}
    options = {"input_names": ["image"], "output_names": ["result"], "dynamo": entry["exporter"] == "dynamo"}
    if entry["opset"]:
        options["opset_version"] = entry["opset"]
    if options["dynamo"]:
        options |= {"external_data": True, "verbose": False}
        if axes:
            options["dynamic_shapes"] = ({i: torch.export.Dim.DYNAMIC for i in axes},)
    elif axes:
        options["dynamic_axes"] = {"image": {i: names[i] for i in axes}}
    torch.onnx.export(module, (x,), str(path), **options)
    return convolutions.found


def strip(model):
    """Dimensions in the place of weights, nothing of the machine that exported."""
    def tensor(t):
        count = 1
        for size in t.dims:
            count *= size
        if count > MOST_NUMBERS:
            slim = TensorProto(name=t.name, data_type=t.data_type, dims=t.dims, data_location=TensorProto.EXTERNAL)
            place = slim.external_data.add()
            place.key, place.value = "location", "weights.bin"
            t.CopyFrom(slim)

    def graph(g):
        for t in g.initializer:
            tensor(t)
        for node in g.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    tensor(attribute.t)
                for inner in [attribute.g, *attribute.graphs]:
                    graph(inner)
        for value in [*g.input, *g.output, *g.value_info]:
            del value.metadata_props[:]
            value.doc_string = ""
        del g.metadata_props[:]
        # Shapes that an exporter adds would spare the inference its work.
        del g.value_info[:]

    graph(model.graph)
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
    del model.metadata_props[:]
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--whole", type=Path, help="a folder for the files as they were exported, with weights and stated shapes")
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for entry in EXPORTS:
        name = entry["name"]
        if arguments.names and name not in arguments.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            whole = arguments.whole or Path(folder)
            whole.mkdir(parents=True, exist_ok=True)
            found = export(entry, whole / f"{name}.onnx")
            model = onnx.load(whole / f"{name}.onnx", load_external_data=True)
        data = strip(model).SerializeToString(deterministic=True)
        (arguments.out / f"{name}.onnx").write_bytes(data)
        answer = {
            "producer": f"torch {torch.__version__.split('+')[0]}, {entry['exporter']}, opset {model.opset_import[0].version}",
            "sha256": hashlib.sha256(data).hexdigest(), "input": "image", "shape": entry["shape"],
            "open": (["batch"] if entry["batch"] else []) + (["image"] if entry["image"] else []),
            "layers": [{"problem": problem, "transposed": transposed, "times": times}
                       for (problem, transposed), times in sorted(found.items())],
        }
        (arguments.out / f"{name}.json").write_text(json.dumps(answer, indent=1) + "\n")
        ops = sorted({node.op_type for node in model.graph.node})
        print(f"{name}: {len(data)} bytes, {sum(found.values())} convolutions of {len(found)} shapes, "
              f"{len(model.graph.node)} nodes, {len(model.functions)} functions: {' '.join(ops)}", flush=True)


if __name__ == "__main__":
    main()
