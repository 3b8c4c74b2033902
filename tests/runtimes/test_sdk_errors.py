from __future__ import annotations

import subprocess
import sys

CODE = """
import logging, os, sys, warnings
from edgedeblur.runtimes.sdk_errors import suppress_native_stderr, suppress_output
with suppress_native_stderr():
    os.write(2, b"library")
    print("ours", file=sys.stderr)
with suppress_output():
    print("library")
    warnings.warn("library")
    logging.warning("library")
    print("progress", file=sys.stderr)
os.write(2, b"native again")
try:
    with suppress_output():
        raise ValueError("told")
except ValueError as error:
    print(error)
"""


def test_a_library_is_silent_and_we_are_not():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["ours", "progress", "native", "again"]
    assert done.stdout == "told\n"
