"""The generic method over everything PEFT ships: names and fields from its source, errors with their line, real trials."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import peft
import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from pydantic import ValidationError
from typer.testing import CliRunner

from harness.cli.app import app
from harness.errors import SuiteError, Unsupported
from harness.methods.any_peft import OUT_OF_REACH, OWN_METHODS
from harness.methods.base import METHODS
from harness.methods.peft_fields import DECIDED_BY_THE_HARNESS, config_fields, field_problems, peft_types
from harness.needs import ModelFacts
from harness.quantization.base import SCHEMES
from harness.suite.json_schema import suite_schema
from harness.suite.load import load_suite
from tests.methods.trials import failed, method, trial

NONE = SCHEMES.get("none")(scheme="none")
SUITE = "name: s\nmodels: [micro:decoder]\nmethods:\n  - {method}\ntasks: [wikitext2]\n"


def problems(entry: str, folder: Path, more: str = "") -> str:
    (folder / "s.yaml").write_text(SUITE.replace("{method}", entry) + more)
    with pytest.raises(SuiteError) as refused:
        load_suite(folder / "s.yaml")
    return str(refused.value).replace(f"{folder}/", "")


#: PEFT's own: a tuner of ours may have been registered with it in this process.
REAL = {kind: config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items() if config.__module__.startswith("peft.")}


def test_the_types_and_fields_are_those_of_the_real_classes() -> None:
    assert set(peft_types()) == {kind.value for kind in REAL}
    for kind, config in REAL.items():
        _, name = peft_types()[kind.value]
        assert name == config.__name__
        assert hasattr(peft, name), "attach takes it from peft itself"
        real = {field.name for field in dataclasses.fields(config) if field.init} - set(DECIDED_BY_THE_HARNESS)
        assert set(config_fields(name)) == real, name


def test_every_default_of_the_real_classes_fits_its_declared_type() -> None:
    for config in REAL.values():
        for field in dataclasses.fields(config):
            plain = field.default is None or type(field.default) in (int, float, str, bool)
            if plain and field.name not in DECIDED_BY_THE_HARNESS:
                assert field_problems(config.__name__, {field.name: field.default}) == {}, f"{config.__name__}.{field.name}"


def test_reading_them_imports_neither_torch_nor_peft() -> None:
    code = (
        "import sys; from harness.methods.peft_fields import config_fields, peft_types\n"
        "assert all(config_fields(name) for _, name in peft_types().values())\n"
        "sys.exit(bool({'torch', 'peft', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{id: m, method: peft, peft_type: OFFT}", "s.yaml:4:38: methods[0].peft_type: the installed peft has no type 'OFFT'; did you mean OFT?"),
        ("{id: m, method: peft, peft_type: OFT, oft_blok_size: 4}", "s.yaml:4:43: methods[0].oft_blok_size: unknown key; did you mean oft_block_size?"),
        ("{id: m, method: peft, peft_type: OFT, oft_block_size: four}", "s.yaml:4:43: methods[0].oft_block_size: expected an integer, found 'four'"),
        ("{id: m, method: peft, peft_type: OFT, task_type: CAUSAL_LM}", "methods[0].task_type: decided by the harness: the task says it"),
        ("{id: m, method: peft, peft_type: ADALORA}", "ADALORA is a method of its own here; give method: adalora"),
        ("{id: m, method: peft, peft_type: FOURIERFT, n_frequency: 1.5}", "expected an integer, found 1.5"),
        ("{method: loha, r: 0, rank_dropuot: 0.1}", "methods[0].rank_dropuot: unknown key; did you mean rank_dropout?"),
        ("{method: lokr, init_weights: lycori}", "expected true or false or lycoris, found 'lycori'; did you mean lycoris?"),
        ("{method: vera, save_projection: maybe}", "expected true or false, found 'maybe'"),
        ("{method: vera, something: 1}", "unknown key: the installed peft has no VeraConfig.something; its fields are bias, d_initial, "),
        ("{method: vera, budgte: 1}", "did you mean budget?"),
        ("{method: vera, trian: {}}", "did you mean train?"),
        ("{method: lora, lora_aplha: 3}", "s.yaml:4:20: methods[0].lora_aplha: unknown key; did you mean lora_alpha?"),
    ],
)  # fmt: skip
def test_errors_name_the_line_and_the_nearest_name(entry: str, message: str, tmp_path: Path) -> None:
    assert message in problems(entry, tmp_path)


def test_all_that_is_wrong_is_said_together_and_once(tmp_path: Path) -> None:
    found = problems("{method: loha, r: 0, rank_dropuot: 0.1, module_dropout: much}", tmp_path)
    assert found.count("\n") == 2, found


def test_library_fields_can_be_swept(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.replace("{method}", "{id: oft, method: peft, peft_type: OFT}") + "sweep: {method.oft_block_size: [4, 8]}\n")
    assert load_suite(tmp_path / "s.yaml").sweep == {"method.oft_block_size": [4, 8]}
    assert "did you mean method.oft_block_size?" in problems("{id: m, method: peft, peft_type: OFT}", tmp_path, "sweep: {method.oft_blok_size: [4]}\n")
    assert "expected an integer" in problems("{id: m, method: peft, peft_type: OFT}", tmp_path, "sweep: {method.oft_block_size: [four]}\n")


def test_the_schema_and_the_list_know_library_fields() -> None:
    definitions = suite_schema()["$defs"]
    assert definitions["method-Loha"]["additionalProperties"] is False
    assert definitions["method-Loha"]["properties"]["module_dropout"]["anyOf"] == [{"type": ["number"]}]
    assert definitions["method-Lokr"]["properties"]["init_weights"]["anyOf"] == [{"type": ["boolean"]}, {"enum": ["lycoris"]}]
    assert definitions["method-AnyPeft"]["additionalProperties"] is True, "they depend on the type"
    listed = json.loads(CliRunner().invoke(app, ["list", "methods", "--json"]).stdout)
    fields = {field["name"]: field for entry in listed if entry["name"] == "loha" for field in entry["fields"]}
    assert fields["module_dropout"]["default"] == 0.0
    assert "dropout" in fields["module_dropout"]["meaning"]


def test_library_fields_are_part_of_the_identity() -> None:
    first, other = (method("peft", peft_type="OFT", oft_block_size=size) for size in (4, 8))
    assert first.identity() == {"method": "peft", "peft_type": "OFT", "oft_block_size": 4}
    assert first.identity() != other.identity()
    assert method("loha", module_dropout=0.1).identity() != method("loha").identity()


@pytest.mark.parametrize(
    ("peft_type", "family", "fields"),
    [
        ("OFT", "llama", {"oft_block_size": 4}), ("HRA", "opt", {}), ("FOURIERFT", "gpt2", {"n_frequency": 50}),
        ("SHIRA", "roberta", {"r": 4}), ("MISS", "deberta-v2", {}), ("BEFT", "llama", {}), ("LN_TUNING", "glm", {}),
        ("TRAINABLE_TOKENS", "llama", {"token_indices": [635, 144]}), ("CPT", "llama", {"cpt_token_ids": [5, 6, 7, 8], "cpt_mask": [1] * 4, "cpt_tokens_type_mask": [1, 2, 3, 4]}),
        ("CARTRIDGE", "llama", {"num_virtual_tokens": 4}), ("ADAPTION_PROMPT", "llama", {"adapter_len": 4, "adapter_layers": 2}),
    ],
)  # fmt: skip
def test_types_of_peft_keep_every_check(peft_type: str, family: str, fields: dict, tmp_path: Path) -> None:
    assert failed(trial(method("peft", peft_type=peft_type, **fields), family, tmp_path).run()) == []


def test_what_peft_refuses_is_unsupported_with_its_words(tmp_path: Path) -> None:
    for peft_type, family, words in (
        ("HRA", "gpt2", "peft refuses HRAConfig here: Target module Conv1D"), ("CPT", "t5", "only supports task_type = CAUSAL_LM"),
        ("ADAPTION_PROMPT", "bert", "cannot tune a new task head"), ("CARTRIDGE", "bert", "is for language models"),
    ):  # fmt: skip
        with pytest.raises(Unsupported, match=words):
            trial(method("peft", peft_type=peft_type), family, tmp_path).run()


def test_what_a_cell_cannot_give_is_refused_by_the_plan() -> None:
    for peft_type, reason in OUT_OF_REACH.items():
        assert reason in str(method("peft", peft_type=peft_type).unsupported(None, NONE))
    assert "two" in str(method("peft", peft_type="SHADOW").unsupported(ModelFacts("t5", "encoder-decoder"), NONE))


def test_types_with_a_method_of_their_own_name_one_that_exists() -> None:
    assert set(OWN_METHODS.values()) <= set(METHODS.names())
    with pytest.raises(ValidationError, match="give method: prefix-tuning"):
        method("peft", peft_type="PREFIX_TUNING", num_virtual_tokens=4)


def test_the_page_lists_every_type_of_the_installed_peft(root: Path) -> None:
    """docs/methods/peft.md is written by `python docs/methods/write_peft_types.py`."""
    page = (root / "docs" / "methods" / "peft.md").read_text(encoding="utf-8")
    assert [kind for kind in peft_types() if f"| `{kind}` |" not in page] == []
