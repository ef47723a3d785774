"""The names and types of the installed TrainingArguments, known without importing transformers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from pydantic import ValidationError

from harness.suite.settings import TrainSettings
from harness.suite.training_arguments import argument_problems, decided_reason, installed_arguments


def test_the_names_are_those_of_the_real_class() -> None:
    from transformers import TrainingArguments

    assert set(installed_arguments()) == {field.name for field in dataclasses.fields(TrainingArguments)}


def test_the_types_allow_every_default_of_the_real_class() -> None:
    from transformers import TrainingArguments

    for field in dataclasses.fields(TrainingArguments):
        types = installed_arguments()[field.name]
        plain = field.default is None or type(field.default) in (int, float, str, bool)
        if types and plain and decided_reason(field.name) is None:
            assert argument_problems({field.name: field.default}) == {}, field.name


def test_reading_them_imports_no_transformers() -> None:
    code = (
        "import sys; from harness.suite.training_arguments import installed_arguments; assert installed_arguments()\n"
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "name",
    [
        "output_dir", "seed", "data_seed", "report_to", "do_train", "eval_strategy", "save_steps", "push_to_hub", "hub_token",
        "logging_strategy", "resume_from_checkpoint", "run_name", "disable_tqdm", "greater_is_better", "eval_delay", "use_cpu",
        "local_rank", "remove_unused_columns", "deepspeed", "fsdp_config", "auto_find_batch_size",
    ],
)  # fmt: skip
def test_what_the_harness_decides_is_refused_with_the_reason(name: str) -> None:
    assert name in installed_arguments()
    assert argument_problems({name: None})[name].startswith("decided by the harness: ")


def test_none_of_our_own_fields_is_refused() -> None:
    assert [name for name in TrainSettings.model_fields if decided_reason(name)] == []
    assert set(TrainSettings.model_fields) - set(installed_arguments()) == {"max_length", "early_stopping_patience", "early_stopping_threshold"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("adam_bta1", 0.9, "did you mean adam_beta1?"),
        ("adam_beta1", "0.9", "expected a number, found '0.9'"),
        ("adam_beta1", True, "expected a number, found True"),
        ("dataloader_num_workers", 1.5, "expected an integer, found 1.5"),
        ("torch_compile", 1, "expected true or false, found 1"),
        ("lr_scheduler_kwargs", [1], "expected text or a mapping or null, found [1]"),
        ("neftune_noise_alpha", "x", "expected a number or null"),
    ],
)
def test_unknown_names_and_wrong_types_are_named(name: str, value: object, message: str) -> None:
    assert message in argument_problems({name: value})[name]


def test_what_the_trainer_knows_is_handed_over_and_part_of_the_identity() -> None:
    settings = TrainSettings.model_validate({"adam_beta1": 0.8, "neftune_noise_alpha": 5, "optim_target_modules": ["q"]})
    assert settings.identity()["adam_beta1"] == 0.8
    assert "logging_steps" not in settings.identity()


def test_the_settings_themselves_refuse_what_is_not_an_argument() -> None:
    with pytest.raises(ValidationError, match="output_dir: decided by the harness"):
        TrainSettings.model_validate({"output_dir": "x"})
