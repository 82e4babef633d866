"""The definitions of the ops once more, in plain numpy and float64, to check the stored numbers against.

Each function takes a case's tensors and attributes and returns the expected tensors by name.
"""

import itertools

import numpy as np


def doubles(tensors: dict) -> dict:
    return {name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in tensors.items()}


def channels(v: np.ndarray, rank: int) -> np.ndarray:
    return v.reshape(1, -1, *[1] * rank)


def taps(kernel, stride, dilation, output):
    """For each tap: its index, and the slices of the padded input that it meets."""
    for tap in itertools.product(*map(range, kernel)):
        yield tap, tuple(slice(t * d, t * d + s * (o - 1) + 1, s)
                         for t, d, s, o in zip(tap, dilation, stride, output))


def convolution(t: dict, stride, padding, dilation, groups) -> dict:
    """A cross-correlation, tap by tap."""
    x, w, dy = t["input"], t["weight"], t["grad_output"]
    n, c, k, rank = x.shape[0], x.shape[1], w.shape[0], x.ndim - 2
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    y, dx, dw = np.zeros(dy.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for tap, where in taps(w.shape[2:], stride, dilation, dy.shape[2:]):
        for g in range(groups):
            cs, ks = (slice(g * v // groups, (g + 1) * v // groups) for v in (c, k))
            wt, xt = w[(ks, slice(None), *tap)], padded[(slice(None), cs, *where)]
            y[:, ks] += np.einsum("kc,nc...->nk...", wt, xt)
            dx[(slice(None), cs, *where)] += np.einsum("kc,nk...->nc...", wt, dy[:, ks])
            dw[(ks, slice(None), *tap)] = np.einsum(
                "nkp,ncp->kc", dy[:, ks].reshape(n, k // groups, -1), xt.reshape(n, c // groups, -1))
    inner = tuple(slice(low, low + extent) for (low, _), extent in zip(padding, x.shape[2:]))
    result = {"output": y, "grad_input": dx[(slice(None), slice(None), *inner)], "grad_weight": dw}
    if "bias" in t:
        result["output"] = y + channels(t["bias"], rank)
        result["grad_bias"] = dy.sum(axis=(0, *range(2, dy.ndim)))
    return result


def transposed(t: dict, stride, padding, output_padding, dilation, groups) -> dict:
    """A transposed convolution: the input is scattered, tap by tap."""
    x, w, dy = t["input"], t["weight"], t["grad_output"]
    n, cin, cout = x.shape[0], x.shape[1], w.shape[1] * groups
    out = [(h - 1) * s - 2 * p + d * (r - 1) + o + 1 for h, s, p, d, r, o in zip(
        x.shape[2:], stride, padding, dilation, w.shape[2:], output_padding)]
    full = [o + 2 * p for o, p in zip(out, padding)]
    canvas, dfull = np.zeros((n, cout, *full)), np.zeros((n, cout, *full))
    inner = (slice(None), slice(None), *(slice(p, p + o) for p, o in zip(padding, out)))
    dfull[inner] = dy
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for tap, where in taps(w.shape[2:], stride, dilation, x.shape[2:]):
        for g in range(groups):
            ci, co = (slice(g * v // groups, (g + 1) * v // groups) for v in (cin, cout))
            wt, dt = w[(ci, slice(None), *tap)], dfull[(slice(None), co, *where)]
            canvas[(slice(None), co, *where)] += np.einsum("ik,ni...->nk...", wt, x[:, ci])
            dx[:, ci] += np.einsum("ik,nk...->ni...", wt, dt)
            dw[(ci, slice(None), *tap)] = np.einsum(
                "nip,nkp->ik", x[:, ci].reshape(n, cin // groups, -1), dt.reshape(n, cout // groups, -1))
    result = {"output": canvas[inner], "grad_input": dx, "grad_weight": dw}
    if "bias" in t:
        result["output"] = result["output"] + channels(t["bias"], 2)
        result["grad_bias"] = dy.sum(axis=(0, 2, 3))
    return result


def linear(t: dict) -> dict:
    x, w, dy = t["input"], t["weight"], t["grad_output"]
    result = {"output": np.einsum("ni,oi->no", x, w), "grad_input": np.einsum("no,oi->ni", dy, w),
              "grad_weight": np.einsum("no,ni->oi", dy, x)}
    if "bias" in t:
        result |= {"output": result["output"] + t["bias"], "grad_bias": dy.sum(axis=0)}
    return result


def windows(x, dy, kernel, stride, padding):
    """For each output entry: its index and the image entries of its window, in row-major order."""
    for index in np.ndindex(*dy.shape):
        where = [range(max(o * s - p, 0), min(o * s - p + k, h))
                 for o, s, p, k, h in zip(index[2:], stride, padding, kernel, x.shape[2:])]
        yield index, [(*index[:2], h, w) for h, w in itertools.product(*where)]


def max_pool(t: dict, kernel, stride, padding) -> dict:
    x, dy = t["input"], t["grad_output"]
    y, dx, indices = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(dy.shape, dtype=np.int64)
    for index, window in windows(x, dy, kernel, stride, padding):
        chosen = max(window, key=lambda entry: x[entry])  # the first of equals
        y[index] = x[chosen]
        dx[chosen] += dy[index]
        indices[index] = chosen[2] * x.shape[3] + chosen[3]
    return {"output": y, "grad_input": dx, "indices": indices}


def average_pool(t: dict, kernel, stride, padding, count_include_pad) -> dict:
    x, dy = t["input"], t["grad_output"]
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for index, window in windows(x, dy, kernel, stride, padding):
        divisor = kernel[0] * kernel[1] if count_include_pad else len(window)
        for entry in window:
            y[index] += x[entry] / divisor
            dx[entry] += dy[index] / divisor
    return {"output": y, "grad_input": dx}


def relu(t: dict) -> dict:
    return {"output": np.maximum(t["input"], 0), "grad_input": np.where(t["input"] > 0, t["grad_output"], 0)}


def flatten(t: dict, start_dim) -> dict:
    x = t["input"]
    return {"output": x.reshape(*x.shape[:start_dim], -1), "grad_input": t["grad_output"].reshape(x.shape)}


def dropout(t: dict, p, training) -> dict:
    factor = 1.0 if not training else t["mask"] / (1 - p) if p < 1 else 0.0
    return {"output": t["input"] * factor, "grad_input": t["grad_output"] * factor}


def batch_norm(t: dict, eps, momentum, training) -> dict:
    x, dy, axes = t["input"], t["grad_output"], (0, 2, 3)
    count = x.size // x.shape[1]
    mean, var = (x.mean(axes), x.var(axes)) if training else (t["running_mean"], t["running_var"])
    scale = channels(1 / np.sqrt(var + eps), 2)
    normal = (x - channels(mean, 2)) * scale
    weight, bias = t.get("weight", np.ones(x.shape[1])), t.get("bias", np.zeros(x.shape[1]))
    dn = dy * channels(weight, 2)
    centred = (dn - dn.mean(axes, keepdims=True) - normal * (dn * normal).mean(axes, keepdims=True))
    m = momentum if training else 0.0
    result = {
        "output": normal * channels(weight, 2) + channels(bias, 2),
        "grad_input": scale * (centred if training else dn),
        "running_mean_after": (1 - m) * t["running_mean"] + m * mean,
        "running_var_after": (1 - m) * t["running_var"] + m * var * (count / (count - 1)),
    }
    return result | ({"grad_weight": (dy * normal).sum(axes), "grad_bias": dy.sum(axes)} if "weight" in t else {})


def cross_entropy(t: dict, reduction, ignore_index=-100, label_smoothing=0.0) -> dict:
    """Classes last: a loss per position is -sum w q log p, q the smoothed target."""
    given, target = t["input"], t["target"]
    axis = 0 if given.ndim == 1 else 1
    x = np.moveaxis(given, axis, -1)
    classes = x.shape[-1]
    weight = t.get("weight", np.ones(classes))
    shifted = x - x.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    if target.dtype.kind == "i":
        counted = target != ignore_index
        labels = np.where(counted, target, 0)
        q, divisor = np.eye(classes)[labels], (weight[labels] * counted).sum()
    else:
        counted = np.ones(x.shape[:-1], dtype=bool)
        q, divisor = np.moveaxis(target, axis, -1), counted.sum()
    wanted = weight * ((1 - label_smoothing) * q + label_smoothing / classes) * counted[..., None]
    losses = -(wanted * logs).sum(axis=-1)
    scale = 1 / divisor if reduction == "mean" else 1
    upstream = t["grad_output"] if reduction == "none" else np.full(losses.shape, scale)
    dx = upstream[..., None] * (np.exp(logs) * wanted.sum(axis=-1, keepdims=True) - wanted)
    output = losses if reduction == "none" else losses.sum() * scale
    return {"output": output, "grad_input": np.moveaxis(dx, -1, axis)}


def mse_loss(t: dict, reduction) -> dict:
    difference = t["input"] - t["target"]
    divisor = difference.size if reduction == "mean" else 1
    gradient = 2 * difference / divisor
    return {"output": (difference**2).sum() / divisor, "grad_input": gradient, "grad_target": -gradient}


def bce_with_logits_loss(t: dict, reduction) -> dict:
    x, target = t["input"], t["target"]
    divisor = x.size if reduction == "mean" else 1
    loss = np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))
    sigmoid = np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))
    return {"output": loss.sum() / divisor, "grad_input": (sigmoid - target) / divisor}


def per_parameter(t: dict, steps: int, update) -> dict:
    """update(p, g, state, step) returns the new parameter; state is a dictionary per parameter."""
    result, i = {}, 0
    while f"param.{i}" in t:
        p, state, after = t[f"param.{i}"], {}, []
        for step in range(steps):
            p = update(p, t[f"grad.{i}"][step], state, step + 1)
            after.append(p)
        result[f"param_after.{i}"] = np.stack(after)
        i += 1
    return result


def sgd(t: dict, lr, momentum, dampening, weight_decay, nesterov, steps) -> dict:
    def update(p, g, state, step):
        g = g + weight_decay * p
        if momentum:
            state["v"] = g if step == 1 else momentum * state["v"] + (1 - dampening) * g
            g = g + momentum * state["v"] if nesterov else state["v"]
        return p - lr * g

    return per_parameter(t, steps, update)


def adam(t: dict, lr, betas, eps, weight_decay, steps, decoupled=False) -> dict:
    def update(p, g, state, step):
        g, p = (g, p * (1 - lr * weight_decay)) if decoupled else (g + weight_decay * p, p)
        state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * g
        state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * g * g
        m, v = state["m"] / (1 - betas[0]**step), state["v"] / (1 - betas[1]**step)
        return p - lr * m / (np.sqrt(v) + eps)

    return per_parameter(t, steps, update)


def adamw(t: dict, **options) -> dict:
    return adam(t, **options, decoupled=True)


def sequential(t: dict, layers, training) -> dict:
    """Forward through the formulas above, then back."""
    def forward(x, layer, key, dy):
        case = {"input": x, "grad_output": dy} | {
            name: t[f"{kind}.{key}.{name}"] for kind, name in (
                ("param", "weight"), ("param", "bias"), ("buffer", "running_mean"), ("buffer", "running_var"))
            if f"{kind}.{key}.{name}" in t}
        kind = layer["type"]
        if kind == "Conv2d":
            return convolution(case, layer["stride"], [(p, p) for p in layer["padding"]], layer["dilation"],
                               layer["groups"])
        if kind == "BatchNorm2d":
            return batch_norm(case, layer["eps"], layer["momentum"], training)
        window = {"kernel": layer.get("kernel_size"), "stride": layer.get("stride"), "padding": layer.get("padding")}
        return {"Linear": lambda: linear(case), "ReLU": lambda: relu(case), "Flatten": lambda: flatten(case, 1),
                "MaxPool2d": lambda: max_pool(case, **window),
                "AvgPool2d": lambda: average_pool(case, **window, count_include_pad=True)}[kind]()

    def shape(x, layer):
        kind = layer["type"]
        if kind in ("ReLU", "BatchNorm2d"):
            return x.shape
        if kind == "Flatten":
            return (x.shape[0], int(np.prod(x.shape[1:])))
        if kind == "Linear":
            return (x.shape[0], layer["out_features"])
        dilation = layer.get("dilation", [1, 1])
        out = [(h + 2 * p - d * (k - 1) - 1) // s + 1 for h, p, d, k, s in zip(
            x.shape[2:], layer["padding"], dilation, layer["kernel_size"], layer["stride"])]
        return (x.shape[0], layer.get("out_channels", x.shape[1]), *out)

    inputs, x, result = [], t["input"], {}
    for i, layer in enumerate(layers):
        inputs.append(x)
        step = forward(x, layer, i, np.zeros(shape(x, layer)))
        x = step["output"]
        result |= {f"buffer_after.{i}.{name.removesuffix('_after')}": value for name, value in step.items()
                   if name.endswith("_after")}
    result["output"], dy = x, t["grad_output"]
    for i, layer in reversed(list(enumerate(layers))):
        step = forward(inputs[i], layer, i, dy)
        dy = step["grad_input"]
        result |= {f"grad.{i}.{name.removeprefix('grad_')}": step[name] for name in ("grad_weight", "grad_bias")
                   if name in step}
    return result | {"grad_input": dy}


def resize_bilinear(t: dict, size: list) -> dict:
    """One axis after the other, by a matrix with two entries per row."""
    def matrix(inputs: int, outputs: int) -> np.ndarray:
        m = np.zeros((outputs, inputs))
        for i in range(outputs):
            place = max(0.0, (i + 0.5) * inputs / outputs - 0.5)
            low = int(place)
            m[i, low] += 1 - (place - low)
            m[i, min(low + 1, inputs - 1)] += place - low
        return m
    x = t["input"]
    return {"output": np.einsum("ph,nchw,qw->ncpq", matrix(x.shape[2], size[0]), x, matrix(x.shape[3], size[1]))}


FORMULAS = {
    "conv1d": convolution, "conv2d": convolution, "conv3d": convolution, "conv_transpose2d": transposed,
    "linear": linear, "max_pool2d": max_pool, "avg_pool2d": average_pool, "relu": relu, "flatten": flatten,
    "dropout": dropout, "batch_norm2d": batch_norm, "cross_entropy": cross_entropy, "mse_loss": mse_loss,
    "bce_with_logits_loss": bce_with_logits_loss, "sgd": sgd, "adam": adam, "adamw": adamw, "sequential": sequential,
    "resize_bilinear": resize_bilinear,
}
