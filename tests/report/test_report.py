"""The written report: what a reader finds where, that nothing breaks its form, and that it is quick."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from record_factory import MIB, START, metric, record, write_run

from harness.analysis.pareto import Point
from harness.analysis.run import read_run
from harness.analysis.statistics import Sample
from harness.errors import NotARun, StorageError, UnknownName
from harness.records.schema import Parameters, Record
from harness.records.store import RecordStore
from harness.report.charts import pareto_charts
from harness.report.csv_tables import csv_text, safe_cell
from harness.report.latex import escape_latex
from harness.report.markdown import escape_markdown
from harness.report.plots import Styles
from harness.report.templates import templates_folder
from harness.report.write import write_report

SUITE = """
name: pair
title: Two schemes, two methods
description: What 4 bits cost.
models: [{id: tiny, source: micro:encoder}]
quantization: [none, bnb-nf4-dq]
methods: [none, lora]
tasks: [{id: rte, task: glue/rte, data: micro}]
seeds: [0, 1]
report:
  tables:
    - {title: RTE, rows: [method, quantization], columns: [task], metric: accuracy}
claims:
  - id: four_bits_are_free
    source: "QLoRA, table 3"
    left: {metric: accuracy, where: {quantization: bnb-nf4-dq, method: lora}}
    relation: within
    right: {metric: accuracy, where: {quantization: none, method: lora}}
    margin: 1.0
"""
NASTY = "a|b `c` *d* _e_ <script>alert(1)</script>\n# not a heading ${x} [l](http://x)"


def records() -> list[Record]:
    found = []
    for quantization, shift in (("none", 0.0), ("bnb-nf4-dq", -0.001)):
        for seed in (0, 1):
            before = metric(value=0.5 + shift, when="before", stderr=0.03)
            after = metric(value=0.8 + shift * (1 + seed / 10) + seed / 100, stderr=0.03)
            found.append(record(quantization=quantization, seed=seed, metrics=[before, after], notes=["no NVIDIA driver"]))
            found.append(record(quantization=quantization, method="none", seed=seed, metrics=[before], notes=[NASTY]))
    found[-1] = record(quantization="bnb-nf4-dq", method="none", seed=1, status="oom")
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", records(), SUITE)
    write_report(folder, ["md", "csv", "html", "json", "latex"])
    return folder


@pytest.fixture(scope="module")
def text(run: Path) -> str:
    return (run / "report.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##? |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no section {title}"
    return found[1]


def test_the_report_has_its_parts_in_reading_order(text: str) -> None:
    assert text.startswith("# Two schemes, two methods\n\nWhat 4 bits cost.\n\nBest on tiny, rte: ")
    assert "\n\nAgainst unquantized weights bnb-nf4-dq changed accuracy by " in text
    assert "\n\n1 of 1 claims is reproduced.\n\n- 8 cells: 7 ok, 1 oom.\n" in text
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "In short", "What a scheme costs and saves", "Results", "Do the claims hold here?", "What tuning changed",
        "Quality against cost", "Cost", "Cells that are not ok", "Notes", "Protocols", "Environment", "How to reproduce",
    ]  # fmt: skip


def test_the_suites_table_shows_mean_spread_and_outcomes(text: str) -> None:
    table = section(text, "RTE")
    assert re.search(r"\| lora +\| none +\| +\*\*80\.50 ± 0\.71 \(n=2\)\*\* \|", table)
    assert re.search(r"\| lora +\| bnb-nf4-dq +\| +\*\*80\.\d\d ± 0\.\d\d \(n=2\)\*\* \(≈\) \|", table)
    assert re.search(r"\| none +\| bnb-nf4-dq +\| +49\.90 \\\[44\.02, 55\.78\\\] \(1 oom\) \|", table)
    assert "Measured by: glue/x." in table


def test_claims_show_their_verdict_and_figures(text: str) -> None:
    assert re.search(r"four\\_bits\\_are\\_free \| reproduced +\| QLoRA, table 3 +\| accuracy 80.40 against 80.50", text)


def test_a_cell_that_is_not_ok_is_listed_with_phase_reason_and_id(text: str) -> None:
    (line,) = [line for line in section(text, "Cells that are not ok").splitlines() if records()[-1].cell.id in line]
    assert [part.strip() for part in line.split("|")[1:9]] == ["tiny", "bnb-nf4-dq", "none", "rte", "1", "oom", "train", "it was oom"]


def test_every_table_has_as_many_cells_in_every_line(text: str) -> None:
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1, block


def test_text_from_records_cannot_become_markdown_or_html(text: str) -> None:
    assert "<script>" not in text
    assert escape_markdown(NASTY) in section(text, "Notes")
    assert not re.search(r"^# not a heading", text, re.MULTILINE)


def test_plots_are_embedded_and_their_files_exist(run: Path, text: str) -> None:
    (name,) = re.findall(r"!\[.*?\]\((plots/.+?\.svg)\)", text)
    root = ElementTree.fromstring((run / name).read_text(encoding="utf-8"))
    assert root.tag.endswith("svg")


def test_the_same_records_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    write_report(run, ["md", "html"], tmp_path)
    for written in [*tmp_path.glob("plots/*.svg"), tmp_path / "report.md", tmp_path / "report.html"]:
        assert written.read_bytes() == (run / written.relative_to(tmp_path)).read_bytes()


def test_a_table_that_is_there_no_more_goes_with_the_next_report_of_the_run(tmp_path: Path) -> None:
    formats, run = ["md", "csv", "latex"], write_run(tmp_path / "run", records(), SUITE)
    write_report(run, formats)
    write_report(run, formats, out=tmp_path / "mine")
    mended = record(quantization="bnb-nf4-dq", method="none", seed=1, metrics=[metric(value=0.5, when="before")])
    RecordStore(run).write(mended)
    (run / "tables" / "mine.txt").touch()
    write_report(run, formats)
    write_report(run, formats, out=tmp_path / "mine")
    names = {path.name for path in (run / "tables").iterdir()}
    assert not names & {"not-ok.csv", "not-ok.tex"}
    assert {"mine.txt", "cost.csv", "cost.tex"} <= names
    assert (tmp_path / "mine" / "tables" / "not-ok.csv").exists(), "a folder that the person has chosen is the person's"


def test_the_command_to_repeat_the_run_is_given(run: Path, text: str) -> None:
    assert f"harness run {run}/suite.yaml --out {run}-again" in section(text, "How to reproduce")


def test_csv_has_numbers_as_stored_with_deviation_and_n(run: Path) -> None:
    with (run / "tables" / "rte.csv").open(encoding="utf-8") as file:
        found = {(row["method"], row["quantization"]): row for row in csv.DictReader(file)}
    assert float(found["lora", "none"]["rte"]) == pytest.approx(0.805)
    assert float(found["lora", "none"]["rte std"]) == pytest.approx(0.00707, abs=1e-5)
    assert found["lora", "none"]["rte n"] == "2"


def test_records_csv_has_every_cell_and_every_reading(run: Path) -> None:
    with (run / "tables" / "records.csv").open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 8
    by_place = {(row["quantization"], row["method"], row["seed"]): row for row in found}
    tuned = by_place["none", "lora", "1"]
    assert (float(tuned["accuracy"]), float(tuned["accuracy:before"])) == (pytest.approx(0.81), 0.5)
    assert tuned["accuracy protocol"] == "glue/x"
    assert int(tuned["memory.phases.load.host_rss"]) == 500 * 2**20
    assert tuned["config.scheme.scheme"] == "none"
    assert by_place["bnb-nf4-dq", "none", "1"]["accuracy"] == ""


@pytest.mark.parametrize("formula", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\t=1"])
def test_no_csv_cell_is_a_formula(formula: str) -> None:
    assert next(csv.reader(io.StringIO(csv_text([[formula]]))))[0] == f"'{formula}"


@pytest.mark.parametrize("number", ["-1.5", "+3", "-2e-05", -4.0, "plain"])
def test_numbers_in_csv_stay_numbers(number: object) -> None:
    assert safe_cell(number) == number


def test_json_carries_tables_verdicts_and_records(run: Path) -> None:
    found = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert [claim["verdict"] for claim in found["claims"]] == ["reproduced"]
    assert [Record.model_validate(each).cell.id for each in found["records"]]
    assert {"answer", "rte", "cost"} <= {table["name"] for table in found["tables"]}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")]


def test_the_html_page_needs_nothing_beside_it_and_only_our_scripts_run(run: Path) -> None:
    """Two scripts of ours and one block of data per chart; a name of the suite that is a script is text, there too."""
    text = (run / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.tags.count("script") == 2 + text.count('<div class="chart"') == 3
    assert page.links == ["data:,"]
    assert "&lt;script&gt;alert" in text
    assert "<script>alert" not in text


def test_latex_tables_are_booktabs_with_everything_escaped(run: Path) -> None:
    text = (run / "tables" / "rte.tex").read_text(encoding="utf-8")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"80.50 $\pm$ 0.71" in text
    assert escape_latex("a_b & 5 % \\x") == r"a\_b \& 5 \% \textbackslash{}x"


def test_every_sign_that_reports_use_is_one_that_pdflatex_knows() -> None:
    assert escape_latex("≥ 8 x 512 → 1 × 2 ± 3 – 4 − 5 … Δ † ‡ · ≈ ≤ § ▁▂▃▄▅▆▇█").isascii()
    assert escape_latex("≥▂█") == r"$\geq$\rule{0.4em}{0.5ex}\rule{0.4em}{2ex}"


def test_random_weights_are_nowhere_shown_as_quality(tmp_path: Path) -> None:
    cells = [record(source="random:llama-7b", seed=seed, metrics=[metric(value=0.7654321)]) for seed in (0, 1)]
    folder = write_run(tmp_path / "run", cells)
    paths = write_report(folder, ["md", "csv", "html", "latex"])
    assert "random weights" in (folder / "report.md").read_text(encoding="utf-8")
    for path in paths:
        written = path.read_text(encoding="utf-8")
        assert "76.54" not in written, path
        assert "0.7654" not in written, path


def test_damaged_records_are_named_in_the_report(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(), SUITE)
    damaged = folder / "records" / f"{records()[0].cell.id}.json"
    damaged.write_text(damaged.read_text()[:100])
    write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "- 7 cells: 6 ok, 1 oom." in text
    assert damaged.name in section(text, "Not in this report")


def test_a_run_without_a_finished_cell_has_a_report_that_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [], SUITE)
    write_report(folder, ["md", "csv", "html", "json", "latex"])
    assert "No cell has a record yet." in (folder / "report.md").read_text(encoding="utf-8")


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(), SUITE)
    with pytest.raises(UnknownName, match="did you mean html"):
        write_report(folder, ["md", "htlm"])
    assert not (folder / "report.md").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotARun):
        write_report(tmp_path)


def test_a_place_that_cannot_be_written_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="taken"):
        write_report(run, ["md"], tmp_path / "taken")


def test_reports_need_no_torch(run: Path, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom harness.report.write import write_report\n"
        f"write_report(Path({str(run)!r}), ['md', 'csv', 'html', 'json', 'latex'], Path({str(tmp_path)!r}))\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'harness.runs') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_documented_format_in_one_file_works(run: Path, root: Path, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "reports.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "text_format.py").write_text(example, encoding="utf-8")
    program = (
        "from pathlib import Path\nimport text_format\nfrom harness.report.write import write_report\n"
        f"write_report(Path({str(run)!r}), ['txt'], Path('.'))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert "RTE: ['lora', 'none', '80.50 ± 0.71 (n=2)']" in (tmp_path / "report.txt").read_text(encoding="utf-8")


def test_counts_from_zero_to_millions_share_one_readable_axis(tmp_path: Path) -> None:
    suite = SUITE.replace("report:", "report:\n  plots: [{x: parameters.trainable, y: accuracy}]")
    sizes = {"none": 0, "lora": 40_000, "full": 20_000_000}
    found = [
        record(method=method, metrics=[metric(value=0.6)], parameters=Parameters(total=20_000_000, trainable=count, trainable_percent=0.0, added=0))
        for method, count in sizes.items()
    ]
    folder = write_run(tmp_path / "run", found, suite.replace("[none, lora]", "[none, lora, full]"))
    write_report(folder, ["md"])
    (plot,) = (folder / "plots").glob("pareto-*.svg")
    drawn = plot.read_text(encoding="utf-8")
    assert "<!-- 100k -->" in drawn
    assert "<!-- 10M -->" in drawn
    assert "mathdefault" not in drawn


@pytest.mark.parametrize(("accuracy", "tied"), [(0.78, True), (0.40, False)])
def test_a_plot_and_a_chart_outline_what_ties_with_the_front(tmp_path: Path, accuracy: float, tied: bool) -> None:
    found = [record(method=method, metrics=[metric(value=value, stderr=0.02)], peak=100 * MIB) for method, value in (("none", 0.8), ("lora", accuracy))]
    folder = write_run(tmp_path / "run", found, SUITE)
    write_report(folder, ["md", "html"])
    assert ("Dark outline" in (folder / "report.md").read_text(encoding="utf-8")) is tied
    drawn = "".join(path.read_text(encoding="utf-8") for path in (folder / "plots").glob("pareto-*.svg"))
    assert (re.search(r"stroke: #333333; stroke-width: 0.6", drawn) is not None) is tied
    assert ("a tie with the front" in (folder / "report.html").read_text(encoding="utf-8")) is tied


def test_more_methods_than_colours_still_have_one_each() -> None:
    points = [Point("none", f"method-{index}", "", Sample((1.0,)), Sample((1.0,))) for index in range(25)]
    assert len(set(Styles.of(points).colours.values())) == 25


def test_sixteen_schemes_of_one_method_look_different_a_method_called_as_a_scheme_included() -> None:
    points = [Point("none" if at == 0 else f"scheme-{at}", "none", "", Sample((1.0,)), Sample((1.0,))) for at in range(16)]
    styles = Styles.of(points)
    assert len({(styles.colour(point), styles.markers[point.quantization]) for point in points}) == 16
    assert [handle.get_label() for handle in styles.legend()][:2] == ["Scheme", "none"]


def test_a_metrics_name_is_no_markup_on_a_charts_axis(tmp_path: Path) -> None:
    [chart] = pareto_charts(read_run(write_run(tmp_path / "run", [record(metrics=[metric("<b>x</b>", 0.5)])])))
    assert chart.choices[0].layout["yaxis"]["title"]["text"] == "&lt;b&gt;x&lt;/b&gt;"


def test_text_that_looks_like_mathematics_does_not_break_a_plot(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [record(method=r"lora-$\frac$", task="$x", metrics=[metric(stderr=0.1)])])
    write_report(folder, ["md"])
    assert len(list((folder / "plots").glob("*.svg"))) == 1


def test_the_templates_are_found_in_the_repository(root: Path) -> None:
    assert templates_folder() == root / "report_templates"


def test_three_thousand_records_make_a_report_without_quadratic_work(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", [])
    places = [(model, scheme, method, task) for model in range(3) for scheme in range(5) for method in range(8) for task in range(5)]
    for model, scheme, method, task in places:
        for seed in range(5):
            metrics = [metric(value=0.5, when="before", stderr=0.01), metric(value=0.6 + seed / 100 + scheme / 1000, stderr=0.01)]
            each = record(
                model=f"m{model}", quantization=f"s{scheme}" if scheme else "none", method=f"x{method}", task=f"t{task}", seed=seed,
                metrics=metrics, finished=START + timedelta(seconds=seed),
            )  # fmt: skip
            (folder / "records" / f"{each.cell.id}.json").write_text(each.model_dump_json(), encoding="utf-8")
    started = time.process_time()
    write_report(folder)
    seconds = time.process_time() - started
    assert seconds < 40, "about 3 s are usual; a guard against work that grows with the square, not a benchmark"
    assert "- 3,000 cells: 3000 ok." in (folder / "report.md").read_text(encoding="utf-8")


def test_every_figure_is_written_as_vectors_and_as_an_image(tmp_path: Path) -> None:
    """Learning curves and memory over time included, where their cells left them."""
    folder = write_run(tmp_path / "run", records(), SUITE)
    cell = folder / "cells" / records()[0].cell.id
    cell.mkdir(parents=True)
    (cell / "training.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 3, "lo', encoding="utf-8")
    paths = write_report(folder, ["plots"])
    names = {path.stem for path in paths}
    assert any(name.startswith("pareto-accuracy") for name in names)
    assert "learning-tiny-rte" in names
    assert {path.suffix for path in paths} == {".svg", ".png"}
    assert len(paths) == 2 * len(names)
    for path in paths:
        start = path.read_bytes()[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if path.suffix == ".png" else start.startswith(b"<?xml"), path


def test_records_of_a_newer_version_and_half_records_are_named_and_the_rest_is_reported(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records(), SUITE)
    newer, half = (folder / "records" / f"{each.cell.id}.json" for each in records()[:2])
    newer.write_text(newer.read_text().replace('"schema_version": 1', '"schema_version": 7'))
    half.write_text(half.read_text()[:200])
    write_report(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    left_out = section(text, "Not in this report")
    assert newer.name in left_out
    assert "newer than this harness reads" in left_out
    assert half.name in left_out
    assert f"{len(records()) - 2} cells" in text
