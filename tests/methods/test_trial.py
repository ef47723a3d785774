"""A trial finds what is wrong with methods that run without an error: each of these is LoRA with one thing spoilt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from trials import method, trial

from harness.methods.base import Attachment
from harness.methods.lora import Lora
from harness.methods.selective import BitFit
from harness.models.anatomy import Anatomy
from harness.records.parts import CHECKS


class NeverOff(Lora):
    """Cannot be turned off."""

    def off(self, model: Any) -> AbstractContextManager[Any]:
        return nullcontext()


class Leaking(Lora):
    """Changes a frozen weight in training."""

    def after_step(self, model: Any, step: int) -> None:
        with torch.no_grad():
            model.get_base_model().get_input_embeddings().weight[7, 3] += 1e-3


class Dropping(Lora):
    """Merges by leaving its update out."""

    def merged(self, model: Any) -> Any:
        return model.unload()


class HalfTrained(Lora):
    """Gives the optimizer half of its parameters."""

    def parameter_groups(self, model: Any, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        return [{"params": [parameter for name, parameter in model.named_parameters() if parameter.requires_grad and ".lora_A." not in name]}]


class Cut(Lora):
    """Passes no gradient to its update."""

    def attach(self, model: Any, attachment: Attachment) -> Any:
        attached = super().attach(model, attachment)
        for name, module in attached.named_modules():
            if name.endswith("lora_B.default"):
                torch.nn.init.ones_(module.weight)
                module.register_forward_hook(lambda module, inputs, output: output.detach())
        return attached


class Forgetful(Lora):
    """Saves its update halved."""

    def save(self, model: Any, folder: Path) -> None:
        with torch.no_grad():
            kept = {name: parameter.clone() for name, parameter in model.named_parameters() if ".lora_B." in name}
            for name in kept:
                model.get_parameter(name).mul_(0.5)
            super().save(model, folder)
            for name, values in kept.items():
                model.get_parameter(name).copy_(values)


class LosesHead(Lora):
    """Merges everything but the tuned head."""

    def merged(self, model: Any) -> Any:
        merged = super().merged(model)
        torch.nn.init.normal_(merged.classifier.weight)
        return merged


class Miscounting(Lora):
    """Has a wrong formula."""

    def count(self, anatomy: Anatomy) -> int:
        return super().count(anatomy) + 1


class CacheOnly(Lora):
    """Answers differently when it reads one token at a time."""

    def attach(self, model: Any, attachment: Attachment) -> Any:
        model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: output if output.shape[1] > 1 else output + output.roll(1, dims=-1))
        return super().attach(model, attachment)


class Forward(Lora):
    """Looks at what is before a prompt, padding or not."""

    def attach(self, model: Any, attachment: Attachment) -> Any:
        attached = super().attach(model, attachment)
        attached.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output + output[:, :1])
        return attached


class Restless(Lora):
    """Answers differently each time a layer is computed in training."""

    def attach(self, model: Any, attachment: Attachment) -> Any:
        calls: list[None] = []

        def louder(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
            calls.append(None)
            return output * (1 + 0.1 * len(calls)) if module.training else output

        model.model.layers[0].input_layernorm.register_forward_hook(louder)
        return super().attach(model, attachment)


def spoilt(kind: type[Lora], family: str, folder: Path, scheme: str = "none") -> dict[str, bool | None]:
    """What each check of the trial found."""
    checks = trial(kind(method="lora", r=4), family, folder, scheme=scheme).run()
    return {check.name: check.passed for check in checks}


@pytest.mark.parametrize(
    ("kind", "family", "scheme", "found"),
    [
        (NeverOff, "gpt2", "none", "turns_off"),
        (Dropping, "llama", "none", "merges"),
        (Dropping, "llama", "bnb-int8", "merges"),
        (Dropping, "llama", "bnb-nf4", "merges"),
        (HalfTrained, "bert", "none", "moves"),
        (Cut, "bert", "none", "moves"),
        (Forgetful, "llama", "bnb-nf4", "reloads"),
        (LosesHead, "bert", "none", "merges"),
        (Miscounting, "bert", "none", "counts"),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else part,
)
def test_a_trial_finds_the_one_thing_that_is_wrong(kind: type[Lora], family: str, scheme: str, found: str, tmp_path: Path) -> None:
    checks = spoilt(kind, family, tmp_path, scheme)
    assert [name for name, passed in checks.items() if passed is False] == [found]


def test_a_trial_finds_changed_weights_in_its_own_steps_and_in_the_trainers(tmp_path: Path) -> None:
    assert [name for name, passed in spoilt(Leaking, "llama", tmp_path).items() if passed is False] == ["frozen", "trainer"]


def test_a_trial_finds_what_only_the_trainer_refuses(tmp_path: Path) -> None:
    """transformers trains no quantized model that it does not take for one of PEFT's."""

    class Unmarked(BitFit):
        def attach(self, model: Any, attachment: Attachment) -> Any:
            attached = super().attach(model, attachment)
            attached._hf_peft_config_loaded = False
            return attached

    tried = trial(Unmarked(method="bitfit"), "bert", tmp_path, scheme="bnb-nf4")
    with pytest.raises(ValueError, match="purely quantized"):
        tried.run()
    assert tuple(check.name for check in tried.checks) == CHECKS[:-1]
    assert not [check for check in tried.checks if check.passed is False]


@pytest.mark.parametrize("spoil", [lambda loss: 4 * loss, lambda loss: float("nan")], ids=["sum", "nan"])
def test_a_trial_finds_a_trainer_that_normalises_the_loss_otherwise(spoil: Callable[[float], float], tmp_path: Path) -> None:
    tried = trial(method("lora", r=4), "bert", tmp_path)
    right = tried.trainer
    assert right is not None
    tried.trainer = lambda model, learning_rate: spoil(right(model, learning_rate))
    assert [check.name for check in tried.run() if check.passed is False] == ["trainer"]


def test_a_trial_finds_a_trainer_that_moves_nothing(tmp_path: Path) -> None:
    tried = trial(method("lora", r=4), "bert", tmp_path)
    right = tried.trainer
    assert right is not None
    tried.trainer = lambda model, learning_rate: right(model, 0.0)
    (found,) = [check for check in tried.run() if check.passed is False]
    assert (found.name, found.detail) == ("trainer", "nothing changed that should train")


@pytest.mark.parametrize(("kind", "found"), [(CacheOnly, "generates"), (Forward, "pads"), (Restless, "checkpoints")])
def test_a_trial_finds_wrong_caches_padding_and_checkpointing(kind: type[Lora], found: str, tmp_path: Path) -> None:
    assert spoilt(kind, "llama", tmp_path)[found] is False


@pytest.mark.parametrize("family", ["bert", "llama", "t5"])
def test_a_trial_makes_all_checks_in_their_order(family: str, tmp_path: Path) -> None:
    checks = trial(method("lora", r=4), family, tmp_path).run()
    assert tuple(check.name for check in checks) == CHECKS
    assert not [check for check in checks if check.passed is False]


def test_what_the_loss_does_not_depend_on_need_not_move(tmp_path: Path) -> None:
    """Three parameters beside the model, of which the loss sees none."""

    class Idle(Lora):
        def attach(self, model: Any, attachment: Attachment) -> Any:
            model.idle = torch.nn.Linear(2, 1)
            attached = super().attach(model, attachment)
            model.idle.requires_grad_(True)
            return attached

    checks = spoilt(Idle, "llama", tmp_path)
    assert (checks["moves"], checks["counts"]) == (True, False)


def test_a_method_that_trains_too_slowly_is_tried_at_larger_rates(tmp_path: Path) -> None:
    checks = {check.name: check for check in trial(method("vera", r=16), "llama", tmp_path).run()}
    assert checks["trains"].passed
    assert "learning rate of 0.1" in checks["trains"].detail
