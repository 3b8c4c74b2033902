"""Inputs and outputs of a .tflite file: NHWC, as uint8 images or as float32 tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..graph import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from ...runtimes.run_tflite.tflite_file import TfliteFile

HALF_RANGE = 127.5  # pixel = 127.5 + 127.5 * value


class NhwcWrapper(nn.Module):
    """The network with NHWC input and output; with ``levels`` they hold 0..255, not [-1, 1]."""

    def __init__(self, network: nn.Module, *, levels: bool) -> None:
        super().__init__()
        self.network = network
        self.levels = levels
        # The converter multiplies the factor into a first convolution that pads nothing, whose
        # weights are then another's. A clamp that changes nothing stands between.
        self.apart = levels and _starts_unpadded(network)

    def forward(self, image: Tensor) -> Tensor:
        """(1, H, W, 3) -> (1, H, W, 3)."""
        if self.levels:
            image = image * (1.0 / HALF_RANGE) - 1.0
        if self.apart:
            image = image.clamp(-1.0, 1.0)
        result = self.network(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (result + 1.0) * HALF_RANGE if self.levels else result


def _starts_unpadded(network: nn.Module) -> bool:
    """Whether the first layer that computes is a convolution of valid pixels alone."""
    kinds = (nn.Conv2d, nn.ReflectionPad2d)
    first = next((layer for layer in network.modules() if isinstance(layer, kinds)), None)
    return isinstance(first, nn.Conv2d) and not any(map(bool, first.padding))


def name_io(file: TfliteFile) -> None:
    """Name input and output, and add the graph's signature."""
    names = {int(file.graph.inputs[0]): INPUT_NAME, int(file.graph.outputs[0]): OUTPUT_NAME}
    for tensor, name in names.items():
        file.rename(tensor, name)
    file.graph.name = "deblurgan_v2"
    file.model.description = "edgedeblur"
    file.model.metadata = [e for e in file.model.metadata or [] if e.name == b"min_runtime_version"]
    set_signature(file)


def set_signature(file: TfliteFile) -> None:
    """Set the signature ``serving_default``: ``image`` -> ``deblurred``."""
    signature = file.schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_signature_entry(file, INPUT_NAME, int(file.graph.inputs[0]))]
    signature.outputs = [_signature_entry(file, OUTPUT_NAME, int(file.graph.outputs[0]))]
    file.model.signatureDefs = [signature]


def _signature_entry(file: TfliteFile, name: str, tensor: int) -> object:
    entry = file.schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def add_uint8_io(file: TfliteFile) -> None:
    """Make input and output uint8 pictures; the graph in between holds 0..255 in float.

    It adds DEQUANTIZE and QUANTIZE with scale 1 and zero point 0 instead of CASTs: delegates
    support them, and QUANTIZE rounds and saturates.
    """
    inside, outside = int(file.graph.inputs[0]), int(file.graph.outputs[0])
    shape = file.shape(inside)
    picture = file.add_tensor(INPUT_NAME, shape, "uint8", scale=1.0)
    result = file.add_tensor(OUTPUT_NAME, shape, "uint8", scale=1.0)
    file.rename(inside, "levels_in")
    file.rename(outside, "levels_out")
    file.add_operator("DEQUANTIZE", [picture], [inside], at=0)
    file.add_operator("QUANTIZE", [outside], [result], at=len(file.operators))
    file.graph.inputs, file.graph.outputs = [picture], [result]
    set_signature(file)
