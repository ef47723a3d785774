"""The cache of quantized weights: complete or absent, verified, cleared of what the dead have left, never from under a user."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.errors import StorageError
from harness.quantization.cache import Quantized, QuantizedCache
from harness.quantization.cache_contents import contents, damage_of, idle_for, prune
from harness.quantization.cache_entry import ENTRY, Subject, Title
from harness.quantization.cache_locks import Busy, writing
from harness.records.schema import QuantizationCost
from harness.records.sealed import Damaged

Make = Callable[..., Quantized]
HOLDER = """
import sys, time
from pathlib import Path
from harness.quantization.cache_locks import use, writing
what, cache, key = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
if what == "use":
    used = use(cache / key / "entry.json")
    print("held", flush=True)
    time.sleep(60)
with writing(cache, key):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def cache(tmp_path: Path) -> QuantizedCache:
    return QuantizedCache(tmp_path)


def subject(scheme: str = "rounded", **fields: object) -> Subject:
    values = {"model": "m", "recipe": 1, "head": "h", "task": None, "device": "cpu", "versions": {"torch": "2.13"}}
    return Subject.model_validate(values | {"scheme": scheme} | fields)


def cost(folder: Path) -> QuantizationCost:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return QuantizationCost(seconds=1.5, peak_bytes=7, peak_source="host_rss", disk_bytes=size, made=datetime.now(UTC), here=True)


def fill(folder: Path) -> Quantized:
    (folder / "model.safetensors").write_bytes(b"weights" * 100)
    (folder / "config.json").write_text("{}")
    return Quantized(folder, None, cost(folder), ("a note",), ("classifier.weight",))


@pytest.fixture
def make(cache: QuantizedCache) -> Make:
    """make(scheme, fill): the entry of that scheme."""

    def made(scheme: str = "rounded", by: Callable[[Path], Quantized] = fill, model: str = "hub:a/opt-125m") -> Quantized:
        title = Title(model=model, revision=None, scheme=scheme, fields={})
        return cache.made(title, subject(scheme), by, lambda seconds, holder: pytest.fail("nobody to wait for"))

    return made


@pytest.fixture
def held(cache: QuantizedCache) -> Callable[[str, str], subprocess.Popen[str]]:
    """held("use" or "write", key): another process that uses or writes the entry until it is killed."""
    processes = []

    def hold(what: str, key: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLDER, what, cache.folder, key], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.wait()


def test_an_entry_comes_back_as_it_was_made_but_for_who_made_it(cache: QuantizedCache, make: Make) -> None:
    key = subject().key()
    assert cache.find(key) is None
    made = make()
    assert made.cost.here
    found = cache.find(key)
    assert found is not None
    assert found.cost == made.cost.model_copy(update={"here": False})
    assert (found.weights, found.notes, found.drawn) == (made.weights, ("a note",), ("classifier.weight",))
    assert make(by=lambda folder: pytest.fail("it is there already")) == found


@pytest.mark.parametrize("change", [{"model": "n"}, {"scheme": "s"}, {"recipe": 2}, {"head": "i"}, {"task": "t"}, {"device": "cuda"}, {"versions": {"torch": "2.14"}}])
def test_everything_in_the_subject_is_in_the_key(change: dict[str, object]) -> None:
    assert subject(**change).key() != subject().key()


def test_what_fails_leaves_nothing(cache: QuantizedCache, make: Make) -> None:
    def failing(folder: Path) -> Quantized:
        fill(folder)
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        make(by=failing)
    assert [path.name for path in cache.folder.iterdir()] == [".locks"]


def test_a_disk_that_is_full_is_told_in_one_sentence(cache: QuantizedCache, make: Make) -> None:
    def full(folder: Path) -> Quantized:
        with open("/dev/full", "wb") as file:
            file.write(b"x")
        return fill(folder)

    with pytest.raises(StorageError, match=r"cannot write quantized weights to \S+: No space left on device"):
        make(by=full)


def test_what_dead_writers_left_is_cleared_by_the_next_and_what_living_ones_write_is_not(
    cache: QuantizedCache, make: Make, held: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    for key in ("dead", "alive"):
        (cache.folder / f".{key}.123" / "weights").mkdir(parents=True)
    held("write", "alive")
    make()
    assert {path.name for path in cache.folder.iterdir()} == {".locks", ".alive.123", subject().key()}


def test_a_writer_that_dies_holds_nothing(cache: QuantizedCache, held: Callable[[str, str], subprocess.Popen[str]]) -> None:
    process = held("write", "k")
    with pytest.raises(Busy, match=f"process {process.pid} on "), writing(cache.folder, "k"):
        pass
    process.kill()
    process.wait()
    with writing(cache.folder, "k"):
        pass


def test_an_entry_in_use_is_not_pruned_until_its_user_is_gone(
    cache: QuantizedCache, make: Make, held: Callable[[str, str], subprocess.Popen[str]]
) -> None:
    made = make()
    made.used.release()
    process = held("use", subject().key())
    assert [reason for _, reason in prune(cache, contents(cache))] == ["a running cell uses it"]
    assert damage_of(contents(cache)[0]) is None
    process.kill()
    process.wait()
    assert [reason for _, reason in prune(cache, contents(cache))] == [None]
    assert contents(cache) == []


def test_a_damaged_entry_is_told_listed_and_pruned(cache: QuantizedCache, make: Make) -> None:
    make().used.release()
    folder = cache.folder / subject().key()
    (folder / "weights" / "config.json").write_text("[]")
    with pytest.raises(Damaged, match=r"config\.json has other content than was written"):
        cache.find(folder.name)
    assert damage_of(contents(cache)[0]) == "config.json has other content than was written"
    (folder / ENTRY).unlink()
    with pytest.raises(Damaged, match=r"entry\.json is missing"):
        cache.find(folder.name)
    (kept,) = contents(cache)
    assert (kept.entry, kept.damage) == (None, "entry.json is missing")
    assert [reason for _, reason in prune(cache, [kept])] == [None]
    assert contents(cache) == []


def test_an_entry_is_as_old_as_its_last_use(cache: QuantizedCache, make: Make) -> None:
    make()
    path = cache.folder / subject().key() / ENTRY
    long_ago = (datetime.now(UTC) - timedelta(days=10)).timestamp()
    os.utime(path, (long_ago, long_ago))
    assert idle_for(contents(cache)[0], 9)
    assert not idle_for(contents(cache)[0], 11)
    cache.find(path.parent.name)
    assert not idle_for(contents(cache)[0], 1)


@pytest.mark.parametrize(
    ("model", "scheme", "fits"),
    [("opt-*", None, True), ("hub:a/*", None, True), ("a/opt-125m", "round*", True), ("opt-*", "gptq-*", False), ("llama-*", None, False), (None, None, True)],
)
def test_entries_are_chosen_by_globs_on_model_and_scheme(cache: QuantizedCache, make: Make, model: str | None, scheme: str | None, fits: bool) -> None:
    make()
    assert contents(cache)[0].matches(model, scheme) == fits
