from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from edgedeblur.export.produce import produce
from edgedeblur.export.registry import get_target
from edgedeblur.models.checkpoints.checkpoint import load_checkpoint
from edgedeblur.runtimes.pictures.sample_inputs import load_sample_inputs, to_uint8
from edgedeblur.runtimes.registry import open_runner

from tests.contracts import spec_for

pytestmark = pytest.mark.cpp

PAGE = Path(__file__).parent.parent.parent / "docs/EDGE.md"
SIZE = (64, 96)
# Around the page's lines: a picture from standard input, the result to standard output.
BEFORE = """
#include <cstdio>
#include <vector>
int main() {
const int height = 64, width = 96;
std::vector<unsigned char> read(3 * height * width), written(read.size());
unsigned char *rgb = read.data(), *sharp = written.data();
if (fread(rgb, 1, read.size(), stdin) != read.size()) return 2;
"""
AFTER = """
return fwrite(sharp, 1, written.size(), stdout) == written.size() ? 0 : 3;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    """The page's lines as a program."""
    (block,) = re.findall(r"```cpp\n(#include <ncnn.*?)```", PAGE.read_text(), re.DOTALL)
    includes = re.findall(r"#include.*\n", block)
    body = block
    for line in includes:
        body = body.replace(line, "")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "main.cpp").write_text("".join(includes) + BEFORE + body + AFTER)
    where = os.environ.get("NCNN", "")
    flags = [f"-I{where}/include", f"-L{where}/lib"] if where else []
    done = subprocess.run(
        ["g++", "-std=c++11", "-Wall", "-Werror", *flags, "main.cpp", "-lncnn", "-fopenmp",
         "-o", "deblur"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ncnn/net.h: No such file" in done.stderr or "cannot find -lncnn" in done.stderr:
        pytest.fail(
            f"no ncnn library in {where or 'the system'}: build it from its sources "
            "(github.com/Tencent/ncnn: cmake -B build -DCMAKE_INSTALL_PREFIX=FOLDER "
            "-DNCNN_VULKAN=OFF -DNCNN_BUILD_TOOLS=OFF -DNCNN_BUILD_EXAMPLES=OFF . && "
            "cmake --build build --target install), then make test-cpp NCNN=FOLDER",
            pytrace=False,
        )
    assert done.returncode == 0, done.stderr
    return folder / "deblur"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_pages_lines_give_what_the_runner_gives(program, precision, tmp_path):
    target = get_target(f"ncnn-{precision}")
    path = tmp_path / "net.ncnn"
    checkpoint = load_checkpoint("zoo:mobilenet_dsc")
    produce(target, checkpoint, spec_for(target, size=SIZE), path, norm="frozen")
    image = load_sample_inputs(SIZE, 32, dynamic=False, count=1)[0].image
    with open_runner(path) as runner:
        wanted = to_uint8(runner.infer(image)).astype(int)
    pixels = to_uint8(image)
    done = subprocess.run(
        [program], cwd=path, input=pixels.tobytes(), capture_output=True, check=True
    )
    found = np.frombuffer(done.stdout, np.uint8).reshape(wanted.shape).astype(int)
    assert np.abs(found - wanted).max() <= (8 if precision == "int8" else 1)
    assert (found == wanted).mean() > (0.75 if precision == "int8" else 0.999)
    # What the network does to the picture is much more than where the two differ.
    done_to_it = np.abs(pixels.astype(int) - wanted).mean()
    assert done_to_it > 0.1
    assert np.abs(found - wanted).mean() < 0.3 * done_to_it
