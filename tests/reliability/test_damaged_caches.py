"""What is kept to be used again is noticed when it is damaged, by a single bit or a missing end, and made again the same."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "drills"))

from test_faults_in_phases import Site, faulty_cell, run, site  # noqa: F401 - site is a fixture

from harness.models.base import ModelConfig
from harness.models.kept_folder import damage_of, kept_folder
from harness.models.random_weights import materialise
from harness.models.skeletons import anatomies
from harness.records.sealed import Damaged, read_sealed, write_sealed
from harness.tasks.base import Head

FLIPS = int(os.environ.get("HARNESS_FLIPS", "40"))


def flip(path: Path, chance: random.Random) -> None:
    """One bit of the file, anywhere."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    """The file's end, from anywhere on."""
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def test_every_bit_of_a_sealed_file_counts(tmp_path: Path, ledger: Callable[..., None]) -> None:
    path, content = tmp_path / "kept.json", {"metrics": [{"name": "accuracy", "value": 0.8125, "n": 16}], "notes": ["a note – in words"]}
    write_sealed(path, content)
    whole = path.read_bytes()
    assert read_sealed(path) == content
    damaged = [bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]]) for at in range(len(whole) - 1) for bit in range(8)]
    damaged += [whole[:length] for length in range(len(whole) - 1)]
    noticed = 0
    for one in damaged:
        path.write_bytes(one)
        with pytest.raises(Damaged):
            read_sealed(path)
        noticed += 1
    ledger(area="damaged caches", check="every bit flipped and every end cut off of a sealed file", tried=len(damaged), survived=noticed)


@pytest.mark.slow
def test_a_model_made_here_is_made_again_the_same(tmp_path: Path, ledger: Callable[..., None]) -> None:
    shape = tmp_path / "shape"
    shape.mkdir()
    sizes = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    (shape / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], **sizes}))
    chance, begun = random.Random(0), time.monotonic()

    def made() -> Path:
        damage_of.cache_clear()  # as in a process of its own
        return materialise(str(shape), ModelConfig(source=f"random:{shape}"), tmp_path / "cache")

    folder = made()
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    seal = folder.with_name(f"{folder.name}.seal.json")
    for number in range(FLIPS):
        victim = chance.choice([*sorted(folder.iterdir()), seal])
        (flip if number % 2 else cut)(victim, chance)
        assert {path.name: path.read_bytes() for path in made().iterdir()} == whole, victim.name
    (folder / "model.safetensors").unlink()
    (made() / "further.json").write_text("{}")
    assert {path.name: path.read_bytes() for path in made().iterdir()} == whole
    assert not list(folder.parent.glob(".*")), "nothing half-made is left"
    ledger(
        area="damaged caches", check="a bit flipped or an end cut off of a model folder in the cache (`random:`, rewritten ChatGLM checkpoints)",
        tried=FLIPS + 2, survived=FLIPS + 2, seconds=time.monotonic() - begun,
    )  # fmt: skip


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("ha")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        kept_folder(tmp_path / "cache" / "model", fails)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name != "model.lock"]


@pytest.mark.slow
def test_a_damaged_anatomy_is_built_again(tmp_path: Path, ledger: Callable[..., None]) -> None:
    wanted, chance, begun = [(ModelConfig(source="random:roberta-large"), Head("causal-lm"))], random.Random(0), time.monotonic()
    first = anatomies(wanted, tmp_path)
    (file,) = (tmp_path / "anatomy").iterdir()
    whole = file.read_bytes()
    for damage in (flip, cut):
        damage(file, chance)
        assert anatomies(wanted, tmp_path) == first
        assert file.read_bytes() == whole
    ledger(area="damaged caches", check="a bit flipped or an end cut off of the sizes that plans keep", tried=2, survived=2, seconds=time.monotonic() - begun)


@pytest.mark.slow
def test_a_cell_makes_damaged_weights_and_evaluations_anew_and_says_so(site: Site, tmp_path: Path, ledger: Callable[..., None]) -> None:  # noqa: F811
    cells = [replace(faulty_cell(site, "train", "nothing"), id=name, untuned_ids=("shared",)) for name in ("first", "second", "third")]
    begun, chance = time.monotonic(), random.Random(0)
    first = run(site, cells[:1])["first"]
    shared, (weights,) = site.run / "shared" / "evaluations" / "shared.json", (tmp_path / "cache" / "quantized").glob("*/weights/*.safetensors")
    for damage, cell in ((flip, cells[1]), (cut, cells[2])):
        damage(shared, chance)
        damage(weights, chance)
        record = run(site, [*cells[: cells.index(cell)], cell])[cell.id]
        assert record.metrics == first.metrics
        assert any("the quantized weights in the cache were damaged" in note for note in record.notes), record.notes
        assert any("the shared evaluation of the untuned model was damaged" in note for note in record.notes), record.notes
    ledger(
        area="damaged caches", check="a bit flipped or an end cut off of quantized weights and of a shared evaluation, between two cells", tried=4, survived=4,
        seconds=time.monotonic() - begun,
    )  # fmt: skip
