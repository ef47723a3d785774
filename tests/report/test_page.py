"""report.html in a real browser: it sorts, filters and tells on hovering, says nothing on the console, and shows names as text."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import MISSING, installed, opened
from record_factory import MIB, metric, record, write_run

from harness.analysis.columns import rows as rows_of
from harness.analysis.run import Run
from harness.report.document import document
from harness.report.html import Html
from harness.report.write import write_report

HOSTILE = "<script>alert(1)</script>"
pytestmark = pytest.mark.skipif(not installed(), reason=MISSING)


def page_of(run: Path) -> Path:
    (page,) = write_report(run, ["html"])
    return page


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine methods, one of them with a hostile name; peak memory falls as accuracy does."""
    folder = tmp_path_factory.mktemp("run")
    methods = [*(f"lora-r{2**at}" for at in range(8)), HOSTILE]
    records = [record(method=name, peak=(at + 1) * 100 * MIB, metrics=[metric(value=0.5 + at / 100)]) for at, name in enumerate(methods)]
    run = write_run(folder / "run", records)
    for at, each in enumerate(records[:3]):
        cell = run / "cells" / each.cell.id
        cell.mkdir(parents=True)
        (cell / "training.jsonl").write_text("".join(json.dumps({"step": step, "loss": 2.0 / (step + at)}) + "\n" for step in (1, 2, 3)))
    return page_of(run)


@pytest.fixture(scope="module")
def driver(page: Path) -> Iterator[Any]:
    with opened(page) as driver:
        yield driver


def rows(driver: Any, table: str) -> list[list[str]]:
    """The texts of the rows that are shown."""
    script = "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].filter(row => !row.hidden).map(row => [...row.cells].map(field => field.innerText.trim()))"
    found: list[list[str]] = driver.execute_script(script, table)
    return found


def press(driver: Any, table: str, label: str) -> None:
    from selenium.webdriver.common.keys import Keys

    (button,) = [found for found in driver.find_elements("css selector", f"#{table} th button") if found.text.startswith(label)]
    button.send_keys(Keys.ENTER)


def until(condition: Any, what: str, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def test_a_column_sorts_by_its_numbers_both_ways_by_keyboard(driver: Any) -> None:
    """As text, `1000 MiB` would come before `200 MiB`, and lora-r16 before lora-r2."""
    press(driver, "table-cost", "method")
    assert [row[0] for row in rows(driver, "table-cost")][1:4] == ["lora-r1", "lora-r2", "lora-r4"]
    press(driver, "table-cost", "peak memory")
    smallest = rows(driver, "table-cost")[0]
    assert "100.00 MiB" in smallest
    press(driver, "table-cost", "peak memory")
    assert "900.00 MiB" in rows(driver, "table-cost")[0]
    sorted_by = driver.find_elements("css selector", "#table-cost th[aria-sort]")
    assert [(header.text.split("\n")[0].strip(), header.get_attribute("aria-sort")) for header in sorted_by] == [("peak memory", "descending")]


def test_a_filter_keeps_the_rows_with_all_of_its_words(driver: Any) -> None:
    before = rows(driver, "table-cost")
    field = driver.find_element("css selector", "input[data-filters='table-cost']")
    field.send_keys("LORA r12")
    until(lambda: len(rows(driver, "table-cost")) == 1, "one row left")
    assert "lora-r128" in rows(driver, "table-cost")[0]
    assert field.find_element("xpath", "following-sibling::output").text == f"1 of {len(before)} rows"
    field.clear()
    field.send_keys(" ")
    until(lambda: len(rows(driver, "table-cost")) == len(before), "all rows back")


def test_a_point_tells_its_cell_when_hovered_over(driver: Any) -> None:
    from selenium.webdriver import ActionChains

    chart = driver.find_element("id", "pareto-0")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    point = until(lambda: chart.find_elements("css selector", ".points path.point"), "the chart is drawn")[1]
    ActionChains(driver).move_to_element(point).perform()
    told = until(lambda: [found.text for found in chart.find_elements("css selector", ".hoverlayer .hovertext") if found.text], "a label")[0]
    assert "lora-r1 on none" in told  # the second: `<` comes before letters
    assert "accuracy: 50.00" in told
    assert "peak memory: 100.00 MiB" in told


def test_another_cost_can_be_chosen_for_the_chart(driver: Any) -> None:
    from selenium.webdriver.support.select import Select

    chart = driver.find_element("id", "pareto-0")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    Select(driver.find_element("id", "pareto-0-choice")).select_by_visible_text("train time")
    until(lambda: "train time" in chart.text, "the axis is named anew")


def test_names_are_text_wherever_they_stand_and_the_console_is_silent(driver: Any) -> None:
    """An alert would raise at the next command; scripts in names would be elements."""
    driver.execute_script("for (const place of document.querySelectorAll('.chart')) draw(place)")
    until(lambda: HOSTILE in driver.find_element("id", "pareto-0").text, "the legend shows the name as it is")
    assert HOSTILE in [row[0] for row in rows(driver, "table-cost")]
    assert driver.execute_script("return document.querySelectorAll('script').length - document.querySelectorAll('script[type=\"application/json\"]').length") == 2
    assert driver.get_log("browser") == []


def test_learning_curves_are_drawn_from_the_cells_losses(driver: Any) -> None:
    curves = driver.find_element("id", "learning")
    driver.execute_script("draw(arguments[0])", curves)
    until(lambda: len(curves.find_elements("css selector", ".scatterlayer .trace")) == 3, "three lines")
    assert "lora-r1 / none" in curves.text


def test_the_page_follows_the_systems_colours_and_the_readers_choice(page: Path) -> None:
    from selenium.webdriver.support.select import Select

    with opened(page, dark=True) as driver:
        background = "return getComputedStyle(document.body).backgroundColor"
        assert driver.execute_script(background) == "rgb(22, 24, 27)"
        Select(driver.find_element("id", "theme")).select_by_visible_text("light")
        assert driver.execute_script(background) == "rgb(255, 255, 255)"


def test_it_asks_nothing_of_the_network(driver: Any) -> None:
    assert driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:') && !name.startsWith('blob:'))") == []
    policy = driver.find_element("css selector", "meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'")


def test_no_button_of_a_chart_sends_it_away(driver: Any) -> None:
    driver.execute_script("document.querySelectorAll('.chart').forEach(draw)")
    titles = until(lambda: driver.execute_script("return [...document.querySelectorAll('.modebar-btn')].map(found => found.dataset.title)"), "buttons beside the charts")
    assert "Zoom in" in titles
    assert not [title for title in titles if "share" in title.lower() or "cloud" in title.lower()]
    assert driver.execute_script("return document.querySelector('.chart')._context.plotlyServerURL") == ""


def test_it_prints_light_with_everything_open_and_no_controls_and_is_put_back(driver: Any) -> None:
    colour = "return getComputedStyle(document.body).color"
    opened_ones = "return document.querySelectorAll('details[open]').length"
    folded = "const made = document.createElement('details'); made.append('rows'); document.body.append(made)"
    driver.execute_script(f"document.documentElement.dataset.theme = 'dark'; {folded}")
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not any(control.is_displayed() for control in driver.find_elements("css selector", ".controls"))
        assert all(driver.execute_script("return [...document.querySelectorAll('details')].map(found => found.open)"))
        assert driver.execute_script(colour) == "rgb(28, 30, 33)"
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert (driver.execute_script(opened_ones), driver.execute_script("return document.documentElement.dataset.theme")) == (0, "dark")
    driver.execute_script("delete document.documentElement.dataset.theme")


def test_a_narrow_screen_scrolls_tables_and_not_the_page(driver: Any) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": True})
    driver.execute_script("document.getElementById('theme').append(new Option('a long name '.repeat(20)))")
    try:
        width = "return document.documentElement.scrollWidth"
        WebDriverWait(driver, 10).until(lambda page: page.execute_script(width) == 400)  # charts follow when they have noticed
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_five_thousand_records_open_in_under_three_seconds(tmp_path: Path) -> None:
    """Of the page's main thread in CPU time, which other work on the machine does not change."""
    places = [(model, scheme, method, task) for model in range(5) for scheme in range(10) for method in range(25) for task in range(4)]
    records = [
        record(model=f"m{model}", quantization=f"q{scheme}", method=f"x{method}", task=f"t{task}", peak=(at % 97 + 1) * MIB, metrics=[metric(value=(at % 89) / 100)])
        for at, (model, scheme, method, task) in enumerate(places)
    ]
    (page,) = Html().write(document(Run(tmp_path, None, None, tuple(rows_of(records)))), tmp_path)
    with opened(Path("/dev/null")) as driver:
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        driver.get(page.as_uri())
        until(lambda: driver.execute_script("return document.readyState") == "complete", "loaded", seconds=120)
        metrics = {found["name"]: found["value"] for found in driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]}
    assert 0 < metrics["TaskDuration"] < 3
