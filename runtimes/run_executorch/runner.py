"""ExecuTorch: runs ``.pte`` programs on the CPU, with XNNPACK where they were lowered to it."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import Runner
from ..optional import require
from ..registry import runtime
from ..sdk_errors import suppress_output

if TYPE_CHECKING:
    from pathlib import Path

METHOD = "forward"


@runtime("executorch", formats=(".pte",), module="executorch", extra="executorch")
class ExecutorchRunner(Runner):
    """One method of one program. Its threads are those of the whole process."""

    @property
    def precision(self) -> str:
        """The arithmetic of the program as it was exported."""
        return self.manifest.target.rpartition("-")[2]

    def _open(self) -> None:
        self._torch = require("torch", extra="executorch")
        with quiet():
            self._program, self.threads = _load(self.path, self.threads)
            self._method = self._program.load_method(METHOD)  # lives no longer than its program
        self._check_io(self._method.metadata)

    def _check_io(self, found: Any) -> None:  # noqa: ANN401 - executorch has no types
        sizes = tuple(found.input_tensor_meta(0).sizes()) if found.num_inputs() == 1 else ()
        if sizes != self.manifest.input.shape:
            raise ValueError(
                f"{self.path}: input {list(sizes)}, its manifest says "
                f"{list(self.manifest.input.shape)}"
            )

    def _infer(self, image: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about arrays that cannot be written; nothing does
            tensor = self._torch.from_numpy(image)
        (result,) = self._method.execute([tensor])
        return result.numpy()

    def _close(self) -> None:
        del self._method
        del self._program


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Discard what ExecuTorch logs while it loads; it writes to Python's standard error too."""
    with suppress_output(), contextlib.redirect_stderr(io.StringIO()):
        yield


def missing_backends(path: Path) -> tuple[str, ...]:
    """Backends that the program is lowered to and this machine's ExecuTorch does not have."""
    held = set(_runtime().backend_registry.registered_backend_names)
    data = path.read_bytes()
    return tuple(
        name
        for name in ("CoreMLBackend", "VulkanBackend", "XnnpackBackend")
        if name not in held and name.encode() in data
    )


def _runtime() -> Any:  # noqa: ANN401
    return require("executorch.runtime", extra="executorch").Runtime.get()


def _load(path: Path, threads: int) -> tuple[Any, int]:
    """The program, and the number of threads that ExecuTorch took.

    Raises:
        ValueError: not a program that this ExecuTorch can load.
    """
    bindings = require("executorch.extension.pybindings.portable_lib", extra="executorch")
    lacking = missing_backends(path)
    if lacking:
        raise ValueError(
            f"{path}: lowered to {', '.join(lacking)}, which this machine's ExecuTorch does not "
            "have; run it on the device, or export it with --backend xnnpack"
        )
    try:
        program = _runtime().load_program(path.read_bytes())
    except RuntimeError as error:
        raise ValueError(f"{path}: ExecuTorch cannot load it ({error})") from error
    # Named unsafe because no other thread may be inside a program meanwhile.
    bindings._unsafe_reset_threadpool(threads)
    return program, int(bindings._threadpool_get_thread_count())


def text_of(path: Path, method: str) -> str:
    """A text that the program holds as a method of its own.

    Raises:
        ValueError: not a program, or without such a method.
    """
    with quiet():
        program = _runtime().load_program(path.read_bytes())
        if method not in program.method_names:
            raise ValueError(f"{path}: holds no {method}")
        return str(program.load_method(method).execute([])[0])
