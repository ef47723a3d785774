"""`harness report` and `harness claims` as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from noise_factory import noisy_run
from record_factory import metric, record, write_run
from typer.testing import CliRunner

from harness.cli.claims import claims_command
from harness.cli.report import report_command
from harness.errors import DataError, NotARun
from harness.records.schema import Record

SUITE = """
name: pair
models: [{{id: tiny, source: micro:encoder}}]
quantization: [none, bnb-nf4]
methods: [lora]
tasks: [{{id: rte, task: glue/rte, data: micro}}]
seeds: [0, 1, 2]
claims:
  - id: better
    source: nobody
    left: {{metric: accuracy, where: {{quantization: bnb-nf4}}}}
    relation: "{relation}"
    right: {{metric: accuracy, where: {{quantization: none}}}}
"""


def run(folder: Path, relation: str) -> Path:
    values = [("none", 0.6), ("bnb-nf4", 0.8)]
    records = [record(quantization=name, seed=seed, metrics=[metric(value=value + seed / 100)]) for name, value in values for seed in range(3)]
    return write_run(folder / "run", records, SUITE.format(relation=relation))


def app(command: object) -> typer.Typer:
    made = typer.Typer()
    made.command()(command)  # type: ignore[type-var]
    return made


@pytest.mark.parametrize(("relation", "verdict", "code"), [(">", "reproduced", 0), ("<", "not reproduced", 1)])
def test_claims_prints_verdicts_and_says_by_its_exit_code_if_one_does_not_hold(
    tmp_path: Path, relation: str, verdict: str, code: int
) -> None:
    done = CliRunner().invoke(app(claims_command), [str(run(tmp_path, relation))], env={"COLUMNS": "200"})
    assert done.exit_code == code
    assert verdict in done.output
    assert "+20.00" in done.output


def timed_run(folder: Path, repeats: int) -> Path:
    """One seed, a slow and a fast scheme, with noise.json where there are several repeats."""
    suite = SUITE.format(relation="<").replace("metric: accuracy", "metric: timing.train").replace("[0, 1, 2]", "[0]").replace("name: pair", "name: tests")

    def cells(number: int) -> list[Record]:
        return [record(quantization=name, train_seconds=seconds + number / 10) for name, seconds in (("none", 20.0), ("bnb-nf4", 10.0))]

    return noisy_run(folder, cells, repeats, suite) if repeats > 1 else write_run(folder, cells(0), suite)


def test_noise_floors_of_another_run_settle_a_claim_on_times_and_stand_in_the_report(tmp_path: Path) -> None:
    plain, noisy = timed_run(tmp_path / "plain", 1), timed_run(tmp_path / "noisy", 4)
    wide = {"COLUMNS": "200"}
    assert "inconclusive" in CliRunner().invoke(app(claims_command), [str(plain)], env=wide).output
    assert "reproduced" in CliRunner().invoke(app(claims_command), [str(noisy)], env=wide).output
    assert "reproduced" in CliRunner().invoke(app(claims_command), [str(plain), "--noise", str(noisy)], env=wide).output
    for arguments, heading in (([], False), (["--noise", str(noisy / "noise.json")], True)):
        done = CliRunner().invoke(app(report_command), [str(plain), "--format", "md", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        assert ("## Noise floors" in (plain / "report.md").read_text(encoding="utf-8")) is heading


def test_noise_floors_that_were_asked_for_and_do_not_fit_write_no_report(tmp_path: Path) -> None:
    plain = timed_run(tmp_path / "plain", 1)
    with pytest.raises(DataError, match=r"noise\.json is not there"):
        CliRunner().invoke(app(report_command), [str(plain), "--noise", str(tmp_path)], catch_exceptions=False)
    assert not (plain / "report.md").exists()


def test_damaged_noise_floors_of_the_run_itself_are_named_in_its_report(tmp_path: Path) -> None:
    noisy = timed_run(tmp_path / "noisy", 4)
    (noisy / "noise.json").write_bytes((noisy / "noise.json").read_bytes()[:200])
    assert CliRunner().invoke(app(report_command), [str(noisy)], catch_exceptions=False).exit_code == 0
    text = (noisy / "report.md").read_text(encoding="utf-8")
    assert "noise.json is damaged" in text.partition("## Not in this report")[2]
    assert "## Noise floors" not in text


def test_report_prints_the_paths_it_wrote(tmp_path: Path) -> None:
    folder = run(tmp_path, ">")
    done = CliRunner().invoke(app(report_command), [str(folder), "--format", "json", "--format", "html", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert done.output.split() == [str(tmp_path / "out" / "report.json"), str(tmp_path / "out" / "report.html")]


def test_report_writes_markdown_and_csv_by_default(tmp_path: Path) -> None:
    folder = run(tmp_path, ">")
    assert CliRunner().invoke(app(report_command), [str(folder)]).exit_code == 0
    assert (folder / "report.md").is_file()
    assert (folder / "tables" / "records.csv").is_file()


@pytest.mark.parametrize("command", [report_command, claims_command])
def test_a_folder_that_is_no_run_is_an_error_of_the_request(tmp_path: Path, command: object) -> None:
    done = CliRunner().invoke(app(command), [str(tmp_path)])
    assert isinstance(done.exception, NotARun)
    assert done.exception.exit_code == 2
