"""The table of a GPU at toy size on a CPU: every family has its rows, and no row costs the others."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import gpu, record
from benchmarks.gpu_rows import Row
from models.families import FAMILIES

TOY = Row(family="eg3d", network="toy", size=32, work="render", precision="float32")


@pytest.mark.slow
def test_every_family_renders_and_trains_in_every_number_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--device", "cpu", "--toy", "--eager", "--seconds", "0.05", "--minutes", "5", "--box", "120"]
    gpu.main([*words, "--rows", str(tmp_path / "rows.jsonl")])
    first, *lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert first["machine"]["device"] == "cpu" and len(lines) == 6 * len(FAMILIES)
    for line in lines:
        assert "failed" not in line["figures"], line
        assert all(value > 0 for name, value in line["figures"].items() if name.endswith(("_hz", "gb"))), line
    monkeypatch.setattr(record, "git", lambda *words: "" if words[0] == "status" else "abc1234")
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "HOME", tmp_path)
    gpu.main(["--from", str(tmp_path / "rows.jsonl")])
    (kept,) = record.records()
    assert kept["figures"]["measured"] == len(lines) and kept["figures"]["missing"] == 0 and kept["machine"]["device"] == "cpu"
    assert "| [gpu](results/gpu/" in record.page(record.records())


def test_a_row_that_fails_hangs_or_takes_its_process_along_costs_no_other() -> None:
    measurer, unknown = gpu.Measurer("cpu", 0.02), replace(TOY, network="no such preset")
    found = [figures for _, figures in gpu.run_rows([TOY, unknown, TOY], measurer, time.monotonic() + 300, 120.0)]
    assert found[1]["failed"].startswith("KeyError") and not any("failed" in figures for figures in (found[0], found[2]))
    measurer.seconds = 60.0
    assert measurer.measure(TOY, 0.5) == {"failed": "took longer than 0.5 s"}
    measurer.seconds = 0.02
    assert "failed" not in measurer.measure(TOY, 120.0), "a new process takes its place"
    assert measurer._process is not None
    measurer._process.kill()
    measurer._process.join()
    assert measurer.measure(TOY, 120.0) == {"failed": "the process ended"}
    assert "failed" not in measurer.measure(TOY, 120.0)
    measurer.close()


def test_what_is_not_reached_is_named() -> None:
    rows = gpu.rows_of(list(FAMILIES), [128, 512], toy=False, compiled=True)
    found = dict(gpu.run_rows(rows, gpu.Measurer("cpu", 1.0), time.monotonic(), 10.0))
    assert len(found) == len(rows) == 9 * 2 * (len(FAMILIES) + 1) and set(map(str, found.values())) == {
        "{'failed': 'not reached'}"
    }
    assert gpu.nested([{"row": row.name, "figures": figures} for row, figures in found.items()])["missing"] == len(rows)
    assert [row.size for row in rows[:2]] == [512, 512] and not any(row.compiled for row in rows[: len(rows) // 2])
