"""Which measured rewrites are taken, from tables that are written here."""

from __future__ import annotations

import json

import edgedeblur.export.rewrites.tables as tables
import pytest
from edgedeblur.export.rewrites.tables import best_rewrite, faster_float, table_key

SLIM = "mobilenet_dsc-1a2b3c4d"
FLOATS = ("openvino-fp32", "openvino-fp16")
SIZE = (736, 1280)


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    """Two tables of our own, on a machine of the family avx512."""
    monkeypatch.setattr(tables, "user_table", lambda: tmp_path / "user.json")
    monkeypatch.setattr(tables, "PACKAGED_TABLE", tmp_path / "packaged.json")
    monkeypatch.setattr(tables, "cpu_family", lambda: "avx512")


def entry(rewrite="none", ms=50.0, **changes):
    candidates = [
        {"rewrite": "none", "median_ms": 99.0, "quartile_ms": 98.0, "fastest_ms": 97.0},
        {"rewrite": rewrite, "median_ms": ms + 1, "quartile_ms": ms, "fastest_ms": ms - 1},
    ]
    fields = {"rewrite": rewrite, "machine": "A CPU", "size": list(SIZE), "threads": 2}
    return {**fields, "rounds": 5, "candidates": candidates, **changes}


def write(tmp_path, *, user=None, packaged=None):
    for name, table in (("user", user), ("packaged", packaged)):
        (tmp_path / f"{name}.json").write_text(json.dumps(table or {}))


# Nearest first: each is chosen once all before it are gone.
ORDER = [
    ("user", f"onnx-fp32/{SLIM}/avx512"),
    ("packaged", f"onnx-fp32/{SLIM}/avx512"),
    ("user", f"onnx-fp32/{SLIM}/amx"),
    ("packaged", f"onnx-fp32/{SLIM}/amx"),
    ("packaged", f"onnx-fp32/{SLIM}/avx2"),
    ("user", "onnx-fp32/mobilenet_dsc/avx512"),
    ("packaged", "onnx-fp32/mobilenet_dsc/avx512"),
    ("packaged", "onnx-fp32/mobilenet_dsc/arm"),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_nearest_measurement_is_taken(tmp_path, first):
    left: dict[str, dict[str, object]] = {"user": {}, "packaged": {}}
    for number, (table, key) in reversed(list(enumerate(ORDER))[first:]):
        left[table][key] = entry(machine=f"CPU {number}")
    for table in left.values():  # neither decides
        table["onnx-fp16/mobilenet_dsc/avx512"] = entry(machine="another target")
        table["onnx-fp32/mobilenet/avx512"] = entry(machine="another backbone")
    write(tmp_path, **left)
    assert f"on CPU {first} (" in best_rewrite("onnx-fp32", SLIM).provenance


def test_provenance_says_what_it_was_tuned_on(tmp_path):
    write(tmp_path, packaged={"onnx-fp32/mobilenet_dsc/avx512": entry("split_concat")})
    where = "tuned for mobilenet_dsc on A CPU (avx512), 736x1280, 2 threads"
    hint = "run deblur-export --tune here"
    choice = best_rewrite("onnx-fp32", "mobilenet_dsc")
    assert (choice.rewrite, choice.provenance) == ("split_concat", where)
    choice = best_rewrite("onnx-fp32", "mobilenet_dsc", family="amx")
    assert (choice.rewrite, choice.provenance) == (
        "split_concat",
        f"{where}, not for this CPU family (amx): {hint}",
    )
    assert best_rewrite("onnx-fp32", SLIM).provenance == f"{where}, not for this network: {hint}"
    assert best_rewrite("onnx-fp32", SLIM, family="arm").provenance == (
        f"{where}, not for this network or CPU family (arm): {hint}"
    )


def test_nothing_measured_is_said(tmp_path):
    write(tmp_path, packaged={f"onnx-fp32/{SLIM}/avx512": entry("split_concat")})
    choice = best_rewrite("onnx-fp32", "mobilenet_dsc")  # not of a network compressed from it
    assert choice.rewrite == "none"
    assert choice.provenance == "not tuned for this target and network; see deblur-export --tune"
    (tmp_path / "packaged.json").unlink()
    assert best_rewrite("onnx-fp32", SLIM).rewrite == "none"


def test_keys_without_a_family_are_this_machines(tmp_path):
    old = {"onnx-fp32/mobilenet_dsc": entry("split_concat", machine="Mine")}
    packaged = {"onnx-fp32/mobilenet_dsc/avx512": entry()}
    write(tmp_path, user=old, packaged=packaged)
    choice = best_rewrite("onnx-fp32", "mobilenet_dsc")
    assert (choice.rewrite, "Mine (avx512)" in choice.provenance) == ("split_concat", True)
    new = entry("nest_upsampling", machine="Mine, tuned again")
    write(tmp_path, user={**old, "onnx-fp32/mobilenet_dsc/avx512": new}, packaged=packaged)
    assert best_rewrite("onnx-fp32", "mobilenet_dsc").rewrite == "nest_upsampling"


def test_this_machines_key(monkeypatch):
    assert table_key("onnx-fp32", SLIM) == f"onnx-fp32/{SLIM}/avx512"
    monkeypatch.setattr(tables, "cpu_family", lambda: "arm")
    assert table_key("onnx-fp32", SLIM) == f"onnx-fp32/{SLIM}/arm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a table of rewrites"),
        ('{"onnx-fp32/mobilenet": []}', "not a table of rewrites"),
        ('{"onnx-fp32/mobilenet": {"rewrite": "none"}}', "not a table of rewrites"),
        ('{"onnx-fp32": {}}', "not a table of rewrites"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, text, message):
    (tmp_path / "user.json").write_text(text)
    with pytest.raises(ValueError, match=rf"user\.json: {message}.*delete it and tune again"):
        best_rewrite("onnx-fp32", "mobilenet")


def test_a_rewrite_that_does_not_exist_is_refused(tmp_path):
    write(tmp_path, user={"onnx-fp32/mobilenet/avx512": entry("split")})
    with pytest.raises(ValueError, match="unknown rewrite 'split'; did you mean split_concat"):
        best_rewrite("onnx-fp32", "mobilenet")


def slower(network="mobilenet_dsc"):
    return faster_float("openvino-int8", FLOATS, network, SIZE)


def pair(**half):
    """Numbers measured on a processor with AMX: int8 53 ms, fp16 (bf16 arithmetic) 50 ms."""
    return {
        "openvino-int8/mobilenet_dsc/avx512": entry("split_concat", 53.0),
        "openvino-fp32/mobilenet_dsc/avx512": entry("split_concat", 112.0),
        "openvino-fp16/mobilenet_dsc/avx512": entry("split_concat", 50.04, **half),
    }


def test_a_faster_float_target_is_told(tmp_path):
    write(tmp_path, packaged=pair())
    assert slower() == (
        "openvino-int8 is slower than openvino-fp16: 53.0 and 50.0 ms on A CPU (avx512), "
        "736x1280, 2 threads"
    )
    assert faster_float("openvino-int8", FLOATS[:1], "mobilenet_dsc", SIZE) is None
    assert slower(SLIM) is None  # of this network nothing was measured
    assert faster_float("openvino-int8", FLOATS, "mobilenet_dsc", (256, 256)) is None


@pytest.mark.parametrize(
    "half",
    [
        {"machine": "Another CPU"},
        {"threads": 4},
        {"size": [256, 256]},
        {"candidates": []},  # its time is not known
    ],
)
def test_times_of_other_conditions_are_not_compared(tmp_path, half):
    write(tmp_path, packaged=pair(**half))
    assert slower() is None


def test_times_of_another_family_are_not_this_machines(tmp_path, monkeypatch):
    write(tmp_path, packaged=pair())
    monkeypatch.setattr(tables, "cpu_family", lambda: "amx")
    assert slower() is None


def test_this_machines_table_decides_before_the_packaged_one(tmp_path):
    mine = pair()
    mine["openvino-int8/mobilenet_dsc/avx512"] = entry("split_concat", 40.0)
    write(tmp_path, user=mine, packaged=pair())
    assert slower() is None
    del mine["openvino-fp32/mobilenet_dsc/avx512"], mine["openvino-fp16/mobilenet_dsc/avx512"]
    write(tmp_path, user=mine, packaged=pair())  # one table, one run of measurements
    assert slower() is not None
