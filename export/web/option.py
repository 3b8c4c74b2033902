"""The option ``--web`` of the ONNX and TFLite targets."""

from __future__ import annotations

from pathlib import Path

from ..registry import Option

WEB_OPTION = Option(
    flag="--web",
    help="also write a web page into DIR that runs the model in the visitor's browser; exports "
    "into the same folder add their models",
    parse=Path,
    metavar="DIR",
    default=None,
    recorded=False,
)
