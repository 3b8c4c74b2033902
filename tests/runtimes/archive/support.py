"""Shards, rows and runners for the tests of archive runs."""

import io
import tarfile
from pathlib import Path

from PIL import Image

from tests.runtimes.cli_run.support import Inverter, manifest, pixels


def inverter():
    """A runner that returns the negative."""
    return Inverter(Path("model.onnx"), manifest(), threads=1, device="cpu")


def encoded(seed=0, kind="PNG"):
    """A picture of 20x30 pixels as file contents."""
    stream = io.BytesIO()
    Image.fromarray(pixels(seed=seed)).save(stream, kind)
    return stream.getvalue()


def write_tar(path, members):
    """A WebDataset shard: (name, bytes) in this order."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return Path(path)


def write_parquet(path, columns, rows_per_group=4):
    import pyarrow
    import pyarrow.parquet

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path, row_group_size=rows_per_group)
    return Path(path)
