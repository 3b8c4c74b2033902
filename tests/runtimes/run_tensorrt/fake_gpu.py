"""A fake GPU that runs its queue only when it is waited for, as a real one may.

Code that overwrites a buffer before it is copied, or reads one before it is filled, gets a wrong
picture. The fake engine halves its input.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from edgedeblur.runtimes.artifact import CheckpointInfo, Manifest, TensorSpec, write_manifest
from edgedeblur.runtimes.files import sha256_of
from edgedeblur.runtimes.run_tensorrt.cuda_calls import Gpu
from edgedeblur.runtimes.run_tensorrt.sdk import system_name

VERSION = "1.7.1.116"
SIZE = (64, 96)
STEP_MS = 0.5  # what every operation takes on this GPU's clock


class FakeCuda:
    package = "fake"

    def __init__(self, *, has_graphs=True, free=1 << 30):
        self.has_graphs = has_graphs
        self.memory: dict[int, np.ndarray] = {}
        self.queues: dict[int, list] = {}
        self.log: list[str] = []
        self.capturing = None
        self.refuse_capture = False
        self.clock = {}
        self.free = free
        self.closed = False

    def gpu(self):
        return Gpu("Fake", (8, 9))

    def free_bytes(self):
        return self.free - sum(block.nbytes for block in self.memory.values())

    def stream(self):
        number = len(self.queues) + 1
        self.queues[number] = []
        return number

    def address(self, stream):
        return stream

    def _give(self, stream, name, work):
        (self.queues[stream] if self.capturing is None else self.capturing).append((name, work))

    def allocate(self, nbytes):
        if nbytes > self.free_bytes():
            raise MemoryError(f"CUDA: out of memory ({nbytes} bytes on the GPU)")
        address = 1000 + len(self.log)
        self.log.append(f"allocate {nbytes}")
        self.memory[address] = np.zeros(nbytes, np.uint8)
        return address

    def release(self, address):
        self.log.append("release")
        del self.memory[address]

    def pinned(self, shape, dtype):
        return np.full(shape, 99, dtype)

    def unpin(self, array):
        self.log.append("unpin")
        array[:] = 99

    def upload(self, target, source, stream):
        def work():
            self.memory[target][:] = source.view(np.uint8).ravel()

        self._give(stream, "upload", work)

    def download(self, target, source, stream):
        def work():
            target.view(np.uint8).reshape(-1)[:] = self.memory[source]

        self._give(stream, "download", work)

    def event(self):
        return SimpleNamespace(at=None)

    def record(self, event, stream):
        def work():
            event.at = self.clock.get(stream, 0.0)

        self._give(stream, "record", work)

    def elapsed_ms(self, start, stop):
        return stop.at - start.at

    def wait(self, stream):
        self.log.append(f"wait {stream}")
        queue, self.queues[stream] = self.queues[stream], []
        for name, work in queue:
            self.log.append(f"{name} {stream}")
            work()
            if name not in ("record",):
                self.clock[stream] = self.clock.get(stream, 0.0) + STEP_MS

    def capture(self, stream, work):
        if self.refuse_capture:
            raise ValueError("CUDA: operation not permitted (recording a graph)")
        self.capturing = []
        work()
        graph, self.capturing = self.capturing, None
        return graph

    def launch(self, graph, stream):
        for _, work in graph:
            self._give(stream, "launch", work)

    def close(self):
        self.closed = True


class FakeContext:
    def __init__(self, engine):
        self.engine, self.addresses, self.shape = engine, {}, None

    def set_input_shape(self, _name, shape):
        least, most = self.engine.sides
        if not all(least <= side <= most for side in shape[2:]):
            self.engine.logger.log(SDK.ILogger.Severity.ERROR, "shape outside the profile")
            return False
        self.shape = shape
        return True

    def get_tensor_shape(self, _name):
        return self.shape

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        if self.engine.fails:
            self.engine.logger.log(SDK.ILogger.Severity.ERROR, "tactic 7 failed")
            return False
        cuda, shape, addresses = self.engine.cuda, self.shape, dict(self.addresses)

        def work():
            data = cuda.memory[addresses["image"]].view(np.float32).reshape(shape)
            cuda.memory[addresses["deblurred"]][:] = (data / 2).view(np.uint8).ravel()

        cuda._give(stream, "execute", work)
        return True


class FakeEngine:
    num_io_tensors = 2

    def __init__(self, cuda, logger, *, sides=(32, 256), names=("image", "deblurred")):
        self.cuda, self.logger, self.sides, self._names = cuda, logger, sides, names
        self.fails = False

    def get_tensor_name(self, index):
        return self._names[index]

    def get_tensor_mode(self, name):
        return "in" if name == self._names[0] else "out"

    def create_execution_context(self):
        return FakeContext(self)


class _Logger:
    Severity = SimpleNamespace(ERROR="error", INTERNAL_ERROR="internal")


SDK = SimpleNamespace(
    __name__="tensorrt_rtx",
    __version__=VERSION,
    ILogger=_Logger,
    TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
)


def install(monkeypatch, cuda, **engine):
    """Put the fake GPU under `run_trt`; the engine of every plan then halves.

    Returns:
        A list that the engines opened are appended to.
    """
    engines = []

    class Runtime:
        def __init__(self, logger):
            self._logger = logger

        def deserialize_cuda_engine(self, plan):
            if plan.endswith(b"broken"):
                self._logger.log(SDK.ILogger.Severity.ERROR, "stream ends early")
                return None
            engines.append(FakeEngine(cuda, self._logger, **engine))
            return engines[-1]

    sdk = SimpleNamespace(**vars(SDK), Runtime=Runtime)
    package = "edgedeblur.runtimes.run_tensorrt"
    for module in ("sdk", "engine", "runner"):
        monkeypatch.setattr(f"{package}.{module}.load_sdk", lambda _name: sdk)
    monkeypatch.setattr(f"{package}.runner.open_cuda", lambda: cuda)
    return engines


def plan_bytes(*, magic=b"vtrt", version=(1, 7, 1, 116), rest=b"engine"):
    """A file with a plan's header."""
    return magic + bytes(20) + bytes(version) + bytes(36) + rest


def saved_plan(folder, data, *, size=SIZE, engine=None, dtype="float32"):
    """A plan with a manifest that fits it."""
    path = folder / "net.plan"
    path.write_bytes(data)
    shape = (1, 3, *size)
    manifest = Manifest(
        target="trt-fp16",
        backbone="mobilenet_dsc",
        checkpoint=CheckpointInfo("0" * 64, "zoo:mobilenet_dsc"),
        norm="frozen",
        input=TensorSpec("image", shape, dtype),
        output=TensorSpec("deblurred", shape, dtype),
        size_multiple=32,
        receptive_radius_px=283,
        params=1,
        macs=1,
        macs_size=SIZE,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        tools={},
        engine={"system": system_name()} if engine is None else engine,
    )
    write_manifest(manifest, path.with_name("net.plan.json"))
    return path


def pictures(count, size=SIZE):
    rng = np.random.default_rng(0)
    return [rng.uniform(-1, 1, (1, 3, *size)).astype(np.float32) for _ in range(count)]
