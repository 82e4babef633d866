"""The networks of comparisons as plain PyTorch modules, with torchvision's names, and one training step of each as a
reference: loss, logits and samples of all gradients in float64, with the envelopes that a float32 step is judged by."""

import concurrent.futures
import multiprocessing
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import philox
from perturbation import Noise, perturb
from vbref import save

SEED, BATCH = 20240301, 2
# At most four times apart, twice where the kappa of engines lie: the upper of two levels counts (README.md).
LEVELS = [1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096, 16384, 65536]
RUNS = 3
SAMPLE = 16


class SeedCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.fc1 = nn.Linear(2048, 1000)
        self.fc2 = nn.Linear(1000, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet18(nn.Module):
    """torchvision's resnet18 for small images: a 3x3 stem with stride 1, without max pooling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        for number, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], start=1):
            stride = 1 if number == 1 else 2
            self.add_module(f"layer{number}", nn.Sequential(
                BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class VGG11(nn.Module):
    """torchvision's vgg11 for 64x64 images: the classifier begins at 512*2*2; its dropouts do nothing (p = 0)."""

    def __init__(self):
        super().__init__()
        layers, channels = [], 3
        for step in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
            if step == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU(inplace=True)]
                channels = step
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(2048, 4096), nn.ReLU(inplace=True), nn.Identity(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Identity(), nn.Linear(4096, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class LeNet(nn.Module):
    """LeNet-5 for 28x28 grey images (LeCun, Bottou, Bengio, Haffner 1998, figure 2): tanh without its scaling, plain
    means as subsampling, every map of C3 connected to all of S2, a linear layer in the place of the radial units."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.avg_pool2d(torch.tanh(conv(x)), 2)
        return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x.flatten(1))))))


class AlexNet(nn.Module):
    """torchvision's alexnet for 64x64 images: the features leave 256x1x1, where the classifier begins without adaptive
    pooling; its dropouts do nothing (p = 0)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.classifier = nn.Sequential(
            nn.Identity(), nn.Linear(256, 4096), nn.ReLU(inplace=True),
            nn.Identity(), nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Linear(4096, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def normalized(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        self.is_residual = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        layers = [] if expansion == 1 else [normalized(inputs, hidden, 1)]
        self.conv = nn.Sequential(
            *layers, normalized(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs))

    def forward(self, x):
        return x + self.conv(x) if self.is_residual else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's mobilenet_v2 for 32x32 images: stride 1 in the stem and in the first block with 24 channels, so that
    4x4 is left at the end; its dropout does nothing (p = 0)."""

    def __init__(self):
        super().__init__()
        layers, channels = [normalized(3, 32, 3)], 32
        for expansion, outputs, count, stride in [
                (1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                (6, 320, 1, 1)]:
            for index in range(count):
                layers.append(InvertedResidual(channels, outputs, stride if index == 0 else 1, expansion))
                channels = outputs
        self.features = nn.Sequential(*layers, normalized(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(1280, 10))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


# name: class, shape of an image
NETWORKS = {
    "seed-cnn": (SeedCNN, (3, 32, 32)), "lenet": (LeNet, (1, 28, 28)), "alexnet": (AlexNet, (3, 64, 64)),
    "vgg11": (VGG11, (3, 64, 64)), "resnet18": (ResNet18, (3, 32, 32)), "mobilenet-v2": (MobileNetV2, (3, 32, 32)),
}


@torch.no_grad()
def initialize(model: nn.Module, seed: int):
    """Parameter i, in the order of named_parameters(): uniform in +-1/sqrt(fan_in) by stream i; the weights of batch
    norm 1, its biases 0."""
    stream = 0
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, nn.BatchNorm2d):
                parameter.fill_(1.0 if name == "weight" else 0.0)
            else:
                bound = 1.0 / np.sqrt(module.weight[0].numel())
                parameter.copy_(torch.from_numpy(philox.uniform(seed, stream, tuple(parameter.shape), bound)))
            stream += 1


def sample_indices(size: int) -> np.ndarray:
    count = min(size, SAMPLE)
    return np.arange(count, dtype=np.int64) * size // count


def step(name: str, level: int, number: int) -> dict:
    """Forward and backward of one batch in float64: everything that is stored. Level 0 is the exact step. One thread,
    so that it is the same on any number of workers."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    kind, shape = NETWORKS[name]
    model = kind().double()
    initialize(model, SEED)
    if level:
        perturb(model, Noise(level, 1000 * level + number))
    x = (philox.uniform(SEED + 1, 0, (BATCH, *shape), 1.0) + np.float32(1)) / np.float32(2)
    logits = model(torch.from_numpy(x).double())
    loss = F.cross_entropy(logits, torch.arange(BATCH) % 10)
    loss.backward()
    result = {"loss": np.float64(loss.item()), "logits": logits.detach().numpy().copy()}
    for key, parameter in model.named_parameters():
        gradient = parameter.grad.numpy()
        result[f"grad_norm.{key}"] = np.float64(np.linalg.norm(gradient))
        result[f"grad_sample.{key}"] = gradient.reshape(-1)[sample_indices(gradient.size)].copy()
    for key, buffer in model.named_buffers():
        if not key.endswith("num_batches_tracked"):
            result[f"buffer_sample.{key}"] = buffer.numpy()[sample_indices(buffer.numel())].copy()
    return result


def deviation(key: str, found: np.ndarray, exact: np.ndarray) -> float:
    """Of samples the distance in norm: a single entry may be an accident."""
    return float(np.linalg.norm(np.asarray(found) - exact))


def generate(out: Path) -> list:
    names = [name for name in NETWORKS if name != "seed-cnn"]
    jobs = [(name, 0, 0) for name in names]
    jobs += [(name, level, number) for name in names for level in LEVELS for number in range(RUNS)]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(2, os.cpu_count() or 1), context) as executor:
        done = dict(zip(jobs, executor.map(step, *zip(*jobs))))
    return [write(out, name, {job[1:]: result for job, result in done.items() if job[0] == name}) for name in names]


def write(out: Path, name: str, results: dict) -> str:
    """`results` by level and number."""
    exact = results[0, 0]
    tensors = dict(exact)
    for level in LEVELS:
        # The runs of lower levels keep this level's bound as well.
        runs = [result for (lower, _), result in results.items() if 0 < lower <= level]
        tensors[f"envelope.k{level}"] = np.array(
            [max(deviation(key, run[key], exact[key]) for run in runs) for key in sorted(exact)])
    attributes = {"network": name, "seed": SEED, "batch": BATCH, "side": NETWORKS[name][1][1],
                  "images": {"seed": SEED + 1, "stream": 0}, "levels": LEVELS, "runs": RUNS,
                  "quantities": sorted(exact)}
    size = save(out / "networks" / f"{name}.safetensors", tensors, "network", attributes, seed=str(SEED),
                description=f"one step of {name} on {BATCH} images, exact and with envelopes")
    loss = sorted(exact).index("loss")
    return (f"network {name}: loss {exact['loss']:.6f}, {size / 1e3:.0f} kB; envelope of the loss "
            + ", ".join(f"k{v}: {tensors[f'envelope.k{v}'][loss]:.1e}" for v in LEVELS))
