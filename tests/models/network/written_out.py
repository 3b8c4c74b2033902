"""The networks written out over their state dicts: no module of the package has a part in it."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F


def digest(shapes):
    """Of a network's tensors: names and shapes, in the order of the names."""
    lines = "".join(f"{name} {list(shape)}\n" for name, shape in sorted(shapes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def randomise(generator, seed=0):
    """Weights that keep the size of maps, and norms that are not the identity."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in generator.state_dict().items():
            if tensor.ndim == 4:
                fan_in = tensor[0].numel()
                tensor.copy_(torch.randn(tensor.shape, generator=source) * (1.5 / fan_in) ** 0.5)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=source) * 0.4 - 0.2)
                if (
                    tensor.ndim == 1
                    and f"{name.rpartition('.')[0]}.running_var" in dict(generator.named_buffers())
                    and name.endswith("weight")
                ):
                    tensor.add_(1)
    return generator.eval()


def norm(state, name, x, eps, *, live):
    shape = (1, -1, 1, 1)
    if live:
        mean = x.mean((2, 3), keepdim=True)
        variance = x.var((2, 3), unbiased=False, keepdim=True)
    else:
        mean = state[f"{name}.running_mean"].reshape(shape)
        variance = state[f"{name}.running_var"].reshape(shape)
    x = (x - mean) / torch.sqrt(variance + eps)
    if f"{name}.weight" in state:
        x = x * state[f"{name}.weight"].reshape(shape) + state[f"{name}.bias"].reshape(shape)
    return x


def inception(state, image, *, live):
    """FPN over Inception-ResNet-v2: Szegedy et al. 2017, without padding in the stem."""

    def conv(name, x, **how):
        x = F.conv2d(x, state[f"fpn.inception.{name}.conv.weight"], **how)
        return F.relu(norm(state, f"fpn.inception.{name}.bn", x, 1e-3, live=live))

    def residual(name, x, scale, branches):
        joined = torch.cat(branches, 1)
        weight = state[f"fpn.inception.{name}.conv2d.weight"]
        return F.relu(
            x + scale * F.conv2d(joined, weight, state[f"fpn.inception.{name}.conv2d.bias"])
        )

    def decode(name, x):
        x = F.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1)
        return F.relu(norm(state, f"{name}.1", x, 1e-5, live=live))

    def head(level, x):
        for block in ("block0", "block1"):
            x = F.relu(F.conv2d(x, state[f"head{level}.{block}.weight"], padding=1))
        return x

    def grown(x, factor):
        return x.repeat_interleave(factor, 2).repeat_interleave(factor, 3)

    def reflected(level, x, left, right):
        x = F.conv2d(x, state[f"fpn.lateral{level}.weight"])
        rows, columns = (
            [*range(left, 0, -1), *range(side), *range(side - 2, side - 2 - right, -1)]
            for side in x.shape[2:]
        )
        return x[:, :, rows][..., columns]

    half = conv("conv2d_1a", image, stride=2)
    x = conv("conv2d_2b", conv("conv2d_2a", half), padding=1)
    quarter = F.max_pool2d(x, 3, 2)
    eighth = F.max_pool2d(conv("conv2d_4a", conv("conv2d_3b", quarter)), 3, 2)
    ones = torch.ones(1, 1, *eighth.shape[2:])  # an average over the pixels that are there
    count = F.avg_pool2d(ones, 3, 1, 1, divisor_override=1)
    mean = F.avg_pool2d(eighth, 3, 1, 1, divisor_override=1) / count
    b1, b2 = conv("mixed_5b.branch1.0", eighth), conv("mixed_5b.branch2.0", eighth)
    x = torch.cat([
        conv("mixed_5b.branch0", eighth),
        conv("mixed_5b.branch1.1", b1, padding=2),
        conv("mixed_5b.branch2.2", conv("mixed_5b.branch2.1", b2, padding=1), padding=1),
        conv("mixed_5b.branch3.1", mean),
    ], 1)  # fmt: skip
    for i in range(10):
        n = f"repeat.{i}"
        b2 = conv(f"{n}.branch2.1", conv(f"{n}.branch2.0", x), padding=1)
        x = residual(n, x, 0.17, [
            conv(f"{n}.branch0", x),
            conv(f"{n}.branch1.1", conv(f"{n}.branch1.0", x), padding=1),
            conv(f"{n}.branch2.2", b2, padding=1),
        ])  # fmt: skip
    b1 = conv("mixed_6a.branch1.1", conv("mixed_6a.branch1.0", x), padding=1)
    sixteenth = torch.cat([
        conv("mixed_6a.branch0", x, stride=2),
        conv("mixed_6a.branch1.2", b1, stride=2),
        F.max_pool2d(x, 3, 2),
    ], 1)  # fmt: skip
    x = sixteenth
    for i in range(20):
        n = f"repeat_1.{i}"
        b1 = conv(f"{n}.branch1.1", conv(f"{n}.branch1.0", x), padding=(0, 3))
        x = residual(n, x, 0.10, [
            conv(f"{n}.branch0", x), conv(f"{n}.branch1.2", b1, padding=(3, 0))
        ])  # fmt: skip
    b2 = conv("mixed_7a.branch2.1", conv("mixed_7a.branch2.0", x), padding=1)
    last = torch.cat([
        conv("mixed_7a.branch0.1", conv("mixed_7a.branch0.0", x), stride=2),
        conv("mixed_7a.branch1.1", conv("mixed_7a.branch1.0", x), stride=2),
        conv("mixed_7a.branch2.2", b2, stride=2),
        F.max_pool2d(x, 3, 2),
    ], 1)  # fmt: skip
    map4 = reflected(4, last, 1, 1)
    map3 = decode("fpn.td1", reflected(3, sixteenth, 1, 1) + grown(map4, 2))
    map2 = decode("fpn.td2", reflected(2, eighth, 1, 2) + grown(map3, 2))
    map1 = decode("fpn.td3", reflected(1, quarter, 1, 1) + grown(map2, 2))
    heads = [grown(head(4, map4), 8), grown(head(3, map3), 4), grown(head(2, map2), 2)]
    x = grown(decode("smooth", torch.cat([*heads, head(1, map1)], 1)), 2)
    x = grown(decode("smooth2", x + reflected(0, half, 0, 1)), 2)
    x = torch.tanh(F.conv2d(x, state["final.weight"], state["final.bias"], padding=1))
    return (x + image).clamp(-1, 1)


def deblurgan(state, image, *, live):
    """DeblurGAN, section 4.1, in the layers' order of the released ``nn.Sequential``."""

    def conv(name, x, pad=0, **how):
        x = F.pad(x, (pad,) * 4, mode="reflect") if pad else x
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def normed(name, x):
        return norm(state, name, x, 1e-5, live=live)

    x = F.relu(normed("model.2", conv("model.1", image, 3)))
    x = F.relu(normed("model.5", conv("model.4", x, stride=2, padding=1)))
    x = F.relu(normed("model.8", conv("model.7", x, stride=2, padding=1)))
    for i in range(10, 19):
        n = f"model.{i}.conv_block"
        y = F.relu(normed(f"{n}.2", conv(f"{n}.1", x, 1)))
        x = x + normed(f"{n}.6", conv(f"{n}.5", y, 1))
    for i in (19, 22):
        x = transposed(x, state[f"model.{i}.weight"], state[f"model.{i}.bias"])
        x = F.relu(normed(f"model.{i + 1}", x))
    return (torch.tanh(conv("model.26", x, 3)) + image).clamp(-1, 1)


def transposed(x, weight, bias):
    """Stride 2, padding 1, one more row and column: zeros between the pixels, then a 3x3."""
    n, channels, height, width = x.shape
    spread = x.new_zeros(n, channels, 2 * height + 2, 2 * width + 2)
    spread[:, :, 1:-1:2, 1:-1:2] = x
    return F.conv2d(spread, weight.transpose(0, 1).flip(2, 3), bias)


def msr2b(state, image):
    """Qi and Wang 2023, in the reading that the module states."""

    def conv(name, x, pad=0, stride=1):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, pad)

    x = F.relu(conv("encoder.0", image, 3))
    x = F.relu(conv("encoder.2", x, 1, 2))
    x = F.relu(conv("encoder.4", x, 1, 2))
    outputs = []
    for i in range(9):
        n = f"blocks.{i}"
        s = F.relu(conv(f"{n}.reduce", x))
        s1, s2, s3, s4 = s[:, :32], s[:, 32:64], s[:, 64:96], s[:, 96:]
        t2 = F.relu(conv(f"{n}.scale2", s2, 1))
        t3 = F.relu(conv(f"{n}.scale3", s3 + t2, 1))
        t4 = F.relu(conv(f"{n}.scale4", s4 + t3, 1))
        w0, rest = torch.cat([s1, t2, t3, t4], 1), torch.cat([t2, t3, t4], 1)
        w1, w2 = F.relu(conv(f"{n}.bypass3", rest, 1)), F.relu(conv(f"{n}.bypass5", rest, 2))
        x = x + F.relu(conv(f"{n}.merge", torch.cat([w0, w1, w2], 1)))
        outputs.append(x)
    x = F.relu(conv("bottleneck", torch.cat(outputs, 1)))
    for i in (0, 2):
        x = F.relu(transposed(x, state[f"decoder.{i}.weight"], state[f"decoder.{i}.bias"]))
    return (conv("final", x) + image).clamp(-1, 1)
