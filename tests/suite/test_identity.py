"""Cell ids: what changes them, what does not, and that they are the same on another machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suites_for_tests import Planned

from harness.errors import RequestError
from harness.fields import Config, role
from harness.methods.base import METHODS
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES
from harness.suite import fingerprints
from harness.suite.settings import LatencySettings, LimitSettings, MeasureSettings, TrainSettings
from harness.tasks.base import TASKS

LORA = "[{id: a, method: lora, r: 8, lora_alpha: 16}]"


@pytest.fixture
def ids(plan: Planned) -> Callable[..., list[str]]:
    return lambda *arguments, **sections: [cell.id for cell in plan(*arguments, **sections).cells]


def test_an_id_has_a_version_and_sixteen_digits(ids: Callable[..., list[str]]) -> None:
    assert re.fullmatch(r"c2-[0-9a-f]{16}", ids()[0])


def test_ids_are_the_ones_of_yesterday(ids: Callable[..., list[str]]) -> None:
    """A hash that changes without its version would orphan every stored run: then raise IDENTITY_VERSION."""
    assert ids(methods="[none]", tasks="[glue/rte]", models="[hub:a/b]") == ["c2-e10a083d3f0b35ea"]


@pytest.mark.parametrize(
    ("extra", "sections"),
    [
        ("# a comment", {}),
        ("title: other\ndescription: text", {}),
        ("limits: {cell_seconds: 60}", {}),
        ("measure: {sample_ms: 50}", {}),
        ("train: {logging_steps: 3}", {}),
        ("train: {learning_rate: 5e-5}", {}),
        ("deterministic: false", {}),
        ("retries: {failed: 2}", {}),
        ("report: {tables: [{rows: [method], metric: perplexity}]}", {}),
        ("", {"name": "other"}),
        ("", {"methods": "[{lora_alpha: 16.0, r: 8, method: lora, id: renamed}]"}),
        ("", {"models": "[{id: renamed, source: random:opt-125m, dtype: auto}]"}),
        ("", {"quantization": "[{id: renamed, scheme: none}]"}),
        ("", {"tasks": "[{id: renamed, task: wikitext2, data: hub}]"}),
        ("exclude: [{seed: 9}]", {}),
    ],
)
def test_labels_comments_order_and_runtime_fields_leave_the_id_alone(
    ids: Callable[..., list[str]], extra: str, sections: dict[str, str]
) -> None:
    assert ids(extra, **({"methods": LORA} | sections)) == ids(methods=LORA)


def test_other_cells_leave_the_id_alone(ids: Callable[..., list[str]]) -> None:
    alone = ids(methods=LORA)[0]
    assert alone in ids("sweep: {method.r: [8, 4]}", methods="[full, {id: a, method: lora, lora_alpha: 16}]", seeds="[2, 1, 0]")


@pytest.mark.parametrize(
    ("extra", "sections"),
    [
        ("", {"models": "[random:opt-350m]"}),
        ("", {"models": "[{source: random:opt-125m, dtype: bfloat16}]"}),
        ("", {"models": "[{source: random:opt-125m, revision: abc}]"}),
        ("", {"quantization": "[bnb-nf4]"}),
        ("", {"methods": "[{method: lora, r: 4, lora_alpha: 16}]"}),
        ("", {"tasks": "[{task: wikitext2, max_train_samples: 5}]"}),
        ("", {"tasks": "[glue/rte]"}),
        ("", {"seeds": "[1]"}),
        ("train: {learning_rate: 1e-3}", {}),
        ("train: {max_length: 32}", {}),
        ("train: {adam_beta1: 0.8}", {}),
        ("measure: {warmup_steps: 1}", {}),
        ("measure: {latency: {}}", {}),
    ],
)
def test_whatever_can_change_a_result_changes_the_id(
    ids: Callable[..., list[str]], extra: str, sections: dict[str, str]
) -> None:
    assert ids(extra, **({"methods": LORA} | sections)) != ids(methods=LORA)


def test_what_trains_nothing_is_not_told_apart_by_training_settings(ids: Callable[..., list[str]]) -> None:
    untuned = ids(methods="[none]")
    assert ids("train: {learning_rate: 1, max_steps: 3, adam_beta1: 0.8}", methods="[none]") == untuned
    assert ids("train: {max_length: 3}", methods="[none]") != untuned
    assert ids("train: {per_device_eval_batch_size: 3}", methods="[none]") != untuned


def test_a_moved_model_is_the_same_and_an_edited_one_is_not(
    ids: Callable[..., list[str]], model_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(model_folder, tmp_path / "moved")
    here, moved = ids(models="[path:bert]"), ids(models="[path:moved]")
    assert here == moved
    (model_folder / "README.md").write_text("notes")
    (model_folder / "checkpoint-10").mkdir()
    (model_folder / "checkpoint-10" / "optimizer.pt").write_text("x")
    assert ids(models="[path:bert]") == here
    (model_folder / "model.safetensors").write_bytes(b"other weights")
    assert ids(models="[path:bert]") != here


def test_moved_data_are_the_same_and_edited_data_are_not(ids: Callable[..., list[str]], rte: Path, tmp_path: Path) -> None:
    shutil.copytree(rte, tmp_path / "moved")
    here = ids(tasks="[{task: glue/rte, data: rte}]")
    assert ids(tasks="[{task: glue/rte, data: moved}]") == here
    file = rte / "validation.csv"
    file.write_text(file.read_text() + "9,a,b,1\n")
    assert ids(tasks="[{task: glue/rte, data: rte}]") != here


def test_large_weights_are_known_by_size_and_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "WHOLE_FILE_BYTES", 3 * 2**20)

    def digest(content: bytes) -> str:
        path = tmp_path / "weights"
        path.write_bytes(content)
        return fingerprints.Fingerprints().file(path)

    zeros = bytearray(4 * 2**20)
    first, middle, last, longer = zeros.copy(), zeros.copy(), zeros.copy(), zeros + b"\0"
    first[0] = middle[2 * 2**20] = last[-1] = 1
    assert digest(zeros) == digest(middle)
    assert len({digest(each) for each in (zeros, first, last, longer)}) == 4


def test_untuned_evaluations_are_shared_by_what_cannot_tell_them_apart(plan: Planned) -> None:
    language = plan(methods="[none, full, lora]", seeds="[0, 1]").cells
    assert len({cell.untuned_ids for cell in language}) == 1, "a language-model head is not random: seeds share it"
    classes = plan(methods="[none, full]", seeds="[0, 1]", tasks="[glue/rte]").cells
    assert len({(cell.untuned_ids, cell.labels.seed) for cell in classes}) == 2, "a new head is drawn by the seed"
    assert language[0].untuned_ids != plan("train: {max_length: 8}").cells[0].untuned_ids


def all_configs() -> list[type[Config]]:
    registered: list[Any] = [cls for registry in (METHODS, SCHEMES, TASKS) for _, cls in registry.items()]
    return [ModelConfig, TrainSettings, MeasureSettings, LatencySettings, LimitSettings, *dict.fromkeys(registered)]


@pytest.mark.parametrize("cls", all_configs(), ids=lambda cls: cls.__name__)
def test_every_field_says_whether_it_is_part_of_the_identity(cls: type[Config]) -> None:
    undeclared = [name for name, field in cls.model_fields.items() if role(field.json_schema_extra) not in ("identity", "runtime")]
    assert undeclared == []
    assert all(field.description for field in cls.model_fields.values())


def test_files_are_read_once_and_unreadable_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a")
    seen = fingerprints.Fingerprints()
    first = seen.file(path)
    path.unlink()
    assert seen.file(path) == first
    with pytest.raises(RequestError, match=r"cannot read .*data\.csv: No such file"):
        fingerprints.Fingerprints().file(path)
