import json

import pytest
from edgedeblur.benchmarks.report.html.cli import main
from edgedeblur.benchmarks.report.html.regressions import Limits, compare

from .support import result, row, source

FIVE = Limits(0.05)


def judged(before, after, **changes):
    found = compare([source("a", before), source("b", after, **changes)], FIVE)
    return {change.figure: change.regressed for change in found.changes}


def test_a_figure_regresses_only_beyond_its_limit():
    old = row("x", (100.0,) * 3)
    assert judged(old, row("x", (105.0,) * 3))["infer ms"] is False
    assert judged(old, row("x", (105.1,) * 3))["infer ms"] is True
    assert judged(old, row("x", (50.0,) * 3))["infer ms"] is False
    assert judged(old, row("x", bytes_=2 << 20))["bytes"] is True
    assert judged(old, row("x", psnr=26.951))["PSNR dB"] is False
    assert judged(old, row("x", psnr=26.949))["PSNR dB"] is True
    assert judged(old, row("x", psnr=28.0))["PSNR dB"] is False


def test_another_machine_is_not_compared_in_time_nor_other_pictures_in_quality():
    slow = row("x", (900.0,) * 3, psnr=20.0)
    assert set(judged(row("x"), slow, cpu="Another CPU")) == {"bytes", "PSNR dB"}
    assert set(judged(row("x"), slow, threads=2)) == {"bytes", "PSNR dB"}
    assert "PSNR dB" not in judged(row("x"), slow, pictures="cd" * 32)


def test_engines_that_one_result_lacks_are_named():
    found = compare([source("a", row("x"), row("y")), source("b", row("x"), row("z"))], FIVE)
    assert found.remarks == ("b: does not have y at 64x96", "b: only there: z at 64x96")


def write(tmp_path, name, *rows, **changes):
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(result(*rows, **changes).to_dict()))
    return str(path)


def test_the_command_fails_on_a_regression_only_if_it_is_asked_to(tmp_path, capsys):
    old = write(tmp_path, "old", row("x", (100.0,) * 3))
    new = write(tmp_path, "new", row("x", (107.0,) * 3))
    page = tmp_path / "report.html"
    assert main([old, new, "-o", str(page)]) == 0
    assert "Regression. x at 64x96: infer ms 100 -&gt; 107 (+7.0 %) in new" in page.read_text()
    assert main([old, new, "--fail-on", "5%"]) == 1
    assert "1 figures got worse" in capsys.readouterr().err
    assert main([old, new, "--fail-on", "10%"]) == 0
    assert main([new, old, "--fail-on", "5%"]) == 0


def test_the_command_prints_changes_as_json(tmp_path, capsys):
    old, new = (
        write(tmp_path, name, row("x", (ms,) * 3)) for name, ms in (("o", 10.0), ("n", 20.0))
    )
    assert main([old, new, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["regressions"] == 1
    assert {change["figure"] for change in body["changes"]} == {
        "infer ms", "bytes", "peak memory bytes", "PSNR dB",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["none.json", "-o", "r.html"], 1, "none.json"),
        (["FILE"], 2, "name the page"),
        (["FILE", "-o", "r.html", "--fail-on", "much"], 2, "not a percentage"),
        (["TEXT", "-o", "r.html"], 1, "not JSON"),
        (["OTHER", "-o", "r.html"], 1, "run deblur-bench again"),
    ],
)
def test_bad_input_is_one_line(argv, code, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "FILE", row("x"))
    (tmp_path / "TEXT").write_text("hello")
    (tmp_path / "OTHER").write_text("[1]")
    argv = ["FILE.json" if word == "FILE" else word for word in argv]
    if code == 2:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
    else:
        assert main(argv) == code
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "r.html").exists()


def test_an_existing_page_stays_without_force(tmp_path, capsys):
    page = tmp_path / "report.html"
    page.write_text("mine")
    file = write(tmp_path, "a", row("x"))
    assert main([file, "-o", str(page)]) == 1
    assert page.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main([file, "-o", str(page), "--force"]) == 0
    assert page.read_text().startswith("<!doctype html>")
