"""What is mutated, by which operators, and which tests must notice."""

from __future__ import annotations

from collections.abc import Iterator

# Module -> the tests that are about it, quickest first; paths from the repository's root.
TARGETS: dict[str, tuple[str, ...]] = {
    "runtimes/compare.py": (
        "tests/runtimes/test_compare_numbers.py",
        "tests/runtimes/test_compare.py",
    ),
    "runtimes/pictures/tile_plan.py": ("tests/runtimes/pictures/test_tile_plan_numbers.py",),
    "runtimes/pictures/tiling.py": ("tests/runtimes/pictures/test_tiling_numbers.py",),
    "models/training/schedule.py": ("tests/models/training/test_schedule.py",),
    "quantize/ptq/observers.py": (
        "tests/quantize/ptq/test_observer_numbers.py",
        "tests/quantize/ptq/test_observers.py",
    ),
    "models/network/norm.py": ("tests/models/network/test_norm_numbers.py",),
    "export/rewrites/kernels.py": ("tests/export/rewrites/test_kernel_numbers.py",),
    "models/data/motion.py": (
        "tests/models/data/test_motion_numbers.py",
        "tests/models/data/test_exposure_numbers.py",
    ),
    "models/data/blur.py": (
        "tests/models/data/test_blur_numbers.py",
        "tests/models/data/test_blur.py",
        "tests/models/data/test_frames.py",
    ),
    "models/training/objective/losses.py": (
        "tests/models/training/test_loss_numbers.py",
        "tests/models/training/test_losses.py",
    ),
    "benchmarks/baselines/ratios.py": ("tests/benchmarks/baselines/test_ratio_numbers.py",),
    "benchmarks/counts/onnx_counts.py": (
        "tests/benchmarks/counts/test_onnx_numbers.py",
        "tests/benchmarks/counts/test_onnx_files.py",
    ),
    "benchmarks/counts/module_counts.py": ("tests/benchmarks/counts/test_module_numbers.py",),
    "benchmarks/counts/tflite_counts.py": ("tests/benchmarks/counts/test_tflite_numbers.py",),
    "benchmarks/counts/footprint.py": ("tests/benchmarks/counts/test_module_numbers.py",),
    "quantize/ptq/ranges.py": ("tests/quantize/ptq/test_range_numbers.py",),
    "quantize/ptq/equalise.py": ("tests/quantize/ptq/test_equalise_numbers.py",),
    "export/rewrites/rewrite.py": ("tests/export/rewrites/test_rewrite_numbers.py",),
}

# Each arithmetic operator becomes the two that it is most easily mistaken for. Cosmic Ray has all
# 132 pairs, shifts and bits among them; nearly any test notices those, which would only flatter
# the score.
_BINARY = {
    "Add": ("Sub", "Mul"),
    "Sub": ("Add", "Mul"),
    "Mul": ("Div", "Add"),
    "Div": ("Mul", "FloorDiv"),
    "FloorDiv": ("Div", "Mul"),
    "Mod": ("FloorDiv", "Mul"),
    "Pow": ("Mul", "Div"),
    "BitAnd": ("BitOr",),
    "BitOr": ("BitAnd",),
}


def chosen(operators: Iterator[str] | tuple[str, ...]) -> list[str]:
    """Of Cosmic Ray's operators all but binary replacements that `_BINARY` does not list."""
    prefix = "core/ReplaceBinaryOperator_"
    binary = {f"{prefix}{old}_{new}" for old, names in _BINARY.items() for new in names}
    return [name for name in operators if not name.startswith(prefix) or name in binary]
