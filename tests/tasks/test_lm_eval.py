"""lm-eval's tasks on a model in memory: lm-eval's own numbers, of the model as it stands, which is as it was afterwards."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval_tasks import CHOICE, GENERATE, ROLLING, ROWS, lm_eval_task, write_tasks, write_yaml
from tiny_models import decoder_config, encoder_decoder_config

from harness.errors import DataError, Diverged, Unsupported
from harness.records.schema import Metric
from harness.tasks.base import TaskContext

ContextOf = Callable[..., TaskContext]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tasks(tmp_path_factory.mktemp("tasks") / "mine", my_choice=CHOICE, my_text=ROLLING, my_answers=GENERATE, my_shots=CHOICE | {"num_fewshot": 2})
    rows = str(root / "rows.json")
    write_yaml(root, "my_json", CHOICE | {"tag": "my_tag", "dataset_path": "json", "dataset_kwargs": {"data_files": {"validation": rows}}, "test_split": None, "training_split": None, "validation_split": "validation"})
    (root / "my_group.yaml").write_text("group: my_group\ntask: [my_choice, my_json]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\nmetadata: {version: 2}\n")
    return root


@pytest.fixture(autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


def llama(seed: int = 0) -> Any:
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(decoder_config(context=256)).eval()


def evaluated(task: Any, model: Any, context: TaskContext) -> list[Metric]:
    with torch.inference_mode():
        return task.evaluate(model, context)


def values(metrics: list[Metric]) -> dict[str, float | None]:
    return {metric.name: metric.value for metric in metrics}


@pytest.fixture
def context(context_of: ContextOf, decoder_tokenizer: Any) -> TaskContext:
    return context_of(decoder_tokenizer())


@pytest.fixture(scope="module")
def by_itself(folder: Path, decoder_tokenizer: Any) -> dict[str, Any]:
    """What lm-eval gives by itself, of the same weights loaded for it."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=llama(), tokenizer=decoder_tokenizer(), batch_size=3)
    names = ["my_choice", "my_text", "my_answers", "my_shots"]
    found: dict[str, Any] = lm_eval.simple_evaluate(lm, tasks=names, task_manager=TaskManager(include_path=folder, include_defaults=False))
    return found


@pytest.mark.parametrize(("name", "shots"), [("my_choice", 0), ("my_shots", 2), ("my_text", 0), ("my_answers", 0)])
def test_the_numbers_are_those_that_lm_eval_gives_by_itself(name: str, shots: int, folder: Path, by_itself: dict[str, Any], context: TaskContext) -> None:
    metrics = evaluated(lm_eval_task(name, folder), llama(), context)
    theirs = by_itself["results"][name]
    assert len(metrics) == sum("," in key and "_stderr" not in key for key in theirs)
    for metric in metrics:
        base, _, filter_ = metric.name.partition(":")
        scale = 0.01 if base == "bleu" else 1.0
        assert metric.value == pytest.approx(scale * theirs[f"{base},{filter_ or 'none'}"], rel=1e-5), metric.name
        error = theirs[f"{base}_stderr,{filter_ or 'none'}"]
        assert metric.stderr == (None if error == "N/A" else pytest.approx(scale * float(error), rel=1e-5))
        assert (metric.n, metric.split, metric.higher_is_better) == (len(ROWS), "test", "per" not in base)
        assert metric.protocol.startswith(f"lm-eval/{name}@")
        assert metric.protocol.endswith(f"/1.5/{shots}shot")
        assert metric.task is None
    assert context.notes == []


def test_a_metric_that_is_a_mean_over_documents_has_each_ones_share(folder: Path, context: TaskContext) -> None:
    choice = {metric.name: metric for metric in evaluated(lm_eval_task("my_choice", folder), llama(), context)}
    assert choice["acc"].items is not None
    assert set(choice["acc"].items) <= {0.0, 1.0}
    assert sum(choice["acc"].items) / len(ROWS) == choice["acc"].value
    assert all(metric.items is None for metric in evaluated(lm_eval_task("my_text", folder), llama(), context))


def test_shots_limit_and_generation_are_the_tasks_unless_given_and_the_protocol_says_so(folder: Path, context: TaskContext) -> None:
    given = evaluated(lm_eval_task("my_choice", folder, num_fewshot=2), llama(), context)
    written = evaluated(lm_eval_task("my_shots", folder), llama(), context)
    assert values(given) == values(written)
    first = evaluated(lm_eval_task("my_answers", folder, max_eval_samples=3, gen_kwargs={"max_gen_toks": 2, "until": ["\n", "."]}), llama(), context)
    assert {metric.n for metric in first} == {3}
    assert first[0].protocol.partition("shot")[2] == '+max_gen_toks=2+until=["\\n", "."]+first-3-rows'
    evaluated(lm_eval_task("my_text", folder, num_fewshot=5), llama(), context)
    assert context.notes == ["lm-eval:my_text: my_text fix the number of shots themselves; num_fewshot: 5 is not theirs"]


def test_a_group_has_its_own_score_and_its_members_are_parts_of_it(folder: Path, context: TaskContext) -> None:
    found = {metric.name: metric for metric in evaluated(lm_eval_task("my_group", folder), llama(), context)}
    assert list(found) == ["acc", "acc:my_choice", "acc_norm:my_choice", "acc:my_json", "acc_norm:my_json"]
    assert found["acc"].value == found["acc:my_choice"].value == found["acc:my_json"].value
    assert (found["acc"].n, found["acc"].split, found["acc"].items) == (2 * len(ROWS), "test+validation", None)
    assert found["acc"].protocol.endswith("/2/0shot")
    assert "/my_json@" in found["acc:my_json"].protocol
    tag = evaluated(lm_eval_task("my_tag", folder), llama(), context)
    assert [metric.name for metric in tag] == ["acc:my_json", "acc_norm:my_json"]


def test_model_tokenizer_and_random_generators_are_as_before_afterwards(folder: Path, context: TaskContext) -> None:
    model = llama()
    before = copy.deepcopy(model.state_dict())
    generation, parameters = model.generation_config.to_dict(), [id(parameter) for parameter in model.parameters()]
    model.model.layers[0].train()  # what is where, and in which mode, is not lm-eval's to change
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    evaluated(lm_eval_task("my_answers", folder, max_eval_samples=2), model, context)
    evaluated(lm_eval_task("my_shots", folder, max_eval_samples=2), model, context)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert [module.training for module in model.modules()] == modes
    assert model.generation_config.to_dict() == generation
    assert [id(parameter) for parameter in model.parameters()] == parameters
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (context.tokenizer.pad_token, context.tokenizer.padding_side) == (None, "right")


def test_a_tuned_model_is_evaluated_as_tuned(folder: Path, context: TaskContext) -> None:
    from peft import LoraConfig, get_peft_model

    task = lm_eval_task("my_text", folder)
    untuned = values(evaluated(task, llama(), context))
    model = get_peft_model(llama(), LoraConfig(r=4, init_lora_weights=False, target_modules="all-linear")).eval()
    tuned = values(evaluated(task, model, context))
    assert tuned["byte_perplexity"] != pytest.approx(untuned["byte_perplexity"], rel=1e-3)
    with model.disable_adapter():
        assert values(evaluated(task, model, context)) == untuned
    assert values(evaluated(task, model.merge_and_unload(), context)) == pytest.approx(tuned, rel=1e-3)


@pytest.mark.parametrize("kind", ["decoder", "encoder-decoder"])
def test_virtual_tokens_are_no_part_of_what_is_scored(kind: str, folder: Path, context_of: ContextOf, decoder_tokenizer: Any, encoder_decoder_tokenizer: Any) -> None:
    """A prompt-tuned model: each answer's log-likelihood, beside that of one forward pass without padding."""
    from lm_eval.api.instance import Instance
    from peft import PromptTuningConfig, TaskType, get_peft_model
    from transformers import T5ForConditionalGeneration

    from harness.tasks.lm_eval_harness.in_memory import InMemory

    torch.manual_seed(0)
    both = kind == "encoder-decoder"
    base = T5ForConditionalGeneration(encoder_decoder_config()) if both else llama()
    model = get_peft_model(base, PromptTuningConfig(task_type=TaskType.SEQ_2_SEQ_LM if both else TaskType.CAUSAL_LM, num_virtual_tokens=3)).eval()
    context = context_of(encoder_decoder_tokenizer() if both else decoder_tokenizer(), kind)
    pairs = [("Question: two?\nAnswer:", " A long answer"), ("The letter:", " B"), ("Another one:", " The following")]
    lm = InMemory(model, context, "lm-eval:test")
    with torch.inference_mode():
        scores = lm.loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in pairs])
        for (prompt, answer), (score, _) in zip(pairs, scores, strict=True):
            read = context.tokenizer(prompt)["input_ids"]
            if both:
                target = context.tokenizer(answer, add_special_tokens=False)["input_ids"]
                logits = model(input_ids=torch.tensor([read]), labels=torch.tensor([target])).logits
            else:
                target = context.tokenizer(prompt + answer)["input_ids"][len(read) :]
                logits = model(input_ids=torch.tensor([read + target[:-1]])).logits
            likelihoods = logits[0, -len(target) :].log_softmax(-1)
            assert score == pytest.approx(float(likelihoods.gather(1, torch.tensor(target)[:, None]).sum()), rel=1e-4)


def test_an_encoder_decoder_goes_through_all_kinds_of_requests(folder: Path, context_of: ContextOf, encoder_decoder_tokenizer: Any) -> None:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    model, context = T5ForConditionalGeneration(encoder_decoder_config()).eval(), context_of(encoder_decoder_tokenizer(), "encoder-decoder", model_context=None)
    for name, first in (("my_choice", "acc"), ("my_text", "word_perplexity"), ("my_answers", "exact_match")):
        found = values(evaluated(lm_eval_task(name, folder, max_eval_samples=3), model, context))
        assert found[first] is not None


def test_prompts_longer_than_the_context_are_counted_and_the_number_is_another(folder: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    short = context_of(decoder_tokenizer(), model_context=60)
    shots = evaluated(lm_eval_task("my_shots", folder), llama(), short)
    assert short.notes == ["lm-eval:my_shots: 40 of 40 requests were longer than the context of 60 tokens and lost their beginning"]
    assert shots[0].protocol.endswith("/2shot+shortened")
    tiny = context_of(decoder_tokenizer(), model_context=20)
    assert evaluated(lm_eval_task("my_answers", folder, max_eval_samples=2), llama(), tiny)[0].protocol.endswith("+shortened")
    assert "2 of 2 requests" in tiny.notes[0]
    with pytest.raises(Unsupported, match=r"generates up to 6 tokens, which leaves no room .* context of 6; give gen_kwargs"):
        evaluated(lm_eval_task("my_answers", folder), llama(), context_of(decoder_tokenizer(), model_context=6))


def test_where_memory_runs_out_the_batch_is_halved_and_the_numbers_stay(folder: Path, context: TaskContext) -> None:
    """The first passes over more than one row raise what CUDA raises."""
    task, model = lm_eval_task("my_choice", folder), llama()
    expected = values(evaluated(task, model, context))

    def refuse(module: Any, arguments: tuple[Any, ...], inputs: dict[str, torch.Tensor]) -> None:
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with model.register_forward_pre_hook(refuse, with_kwargs=True):
        assert values(evaluated(task, model, context)) == expected
    assert [note.rpartition("out of memory ")[2] for note in context.notes] == ["with 4 requests in a batch; went on with 2", "with 2 requests in a batch; went on with 1"]


def test_outputs_that_are_not_finite_are_no_score(folder: Path, context: TaskContext) -> None:
    model = llama()
    model.lm_head.weight.data[5] = float("inf")
    with pytest.raises(Diverged, match="not finite"):
        evaluated(lm_eval_task("my_choice", folder), model, context)


def test_progress_is_told_in_requests(folder: Path, context_of: ContextOf, decoder_tokenizer: Any) -> None:
    import dataclasses

    told: list[tuple[int, int]] = []
    context = dataclasses.replace(context_of(decoder_tokenizer()), progress=lambda done, total: told.append((done, total)))
    evaluated(lm_eval_task("my_answers", folder), llama(), context)
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_documents_read_are_in_the_record_and_found_again_among_rows_trained_on(folder: Path, context: TaskContext) -> None:
    lm_eval_task("my_choice", folder, max_eval_samples=4).look_at_evaluation_rows(context)
    asked = ROWS[1]["question"] + "\n"
    context.used.see("training", "mine", "train", {"question": [asked, "another"]}, [asked.strip(), "another"])
    evaluation = context.used.uses()[0]
    assert (evaluation.task, evaluation.split, evaluation.rows, evaluation.trained_on) == ("lm-eval:my_choice", "test", 4, 1)


def test_data_that_is_not_there_is_named(folder: Path, tmp_path: Path, context: TaskContext) -> None:
    absent = write_tasks(tmp_path / "absent", my_absent=CHOICE | {"dataset_path": "nobody/has-this-data-set", "dataset_kwargs": None})
    with pytest.raises(DataError, match=r"my_absent cannot be loaded: .*; its data set is nobody/has-this-data-set"):
        evaluated(lm_eval_task("my_absent", absent), llama(), context)
    wrong = write_tasks(tmp_path / "wrong", my_wrong=CHOICE | {"doc_to_texts": "question"}, my_split=CHOICE | {"test_split": "tset"})
    with pytest.raises(DataError, match=r"my_wrong cannot be loaded: TypeError: .*doc_to_texts"):
        evaluated(lm_eval_task("my_wrong", wrong), llama(), context)
    with pytest.raises(DataError, match=r"my_split cannot be loaded: KeyError: 'tset'"):
        evaluated(lm_eval_task("my_split", wrong), llama(), context)


def test_a_task_may_make_its_documents_itself(tmp_path: Path, context: TaskContext) -> None:
    own = CHOICE | {"custom_dataset": "FUNCTION", "dataset_path": None, "dataset_kwargs": None, "training_split": None}
    folder = write_tasks(tmp_path / "own", my_own=own)
    (folder / "own.py").write_text(
        "import json\nfrom pathlib import Path\n\nfrom datasets import Dataset\n\n\n"
        "def rows(**metadata):\n    lines = Path(__file__).with_name('rows.json').read_text().splitlines()\n    return {'test': Dataset.from_list([json.loads(line) for line in lines[:6]])}\n"
    )
    path = folder / "my_own.yaml"
    path.write_text(path.read_text().replace("FUNCTION", "!function own.rows"))
    assert [metric.n for metric in evaluated(lm_eval_task("my_own", folder), llama(), context)] == [6, 6]


def test_what_cannot_be_asked_of_a_text_model_is_refused(folder: Path, tmp_path: Path, context: TaskContext) -> None:
    code = write_tasks(tmp_path / "code", my_code=GENERATE | {"unsafe_code": True})
    with pytest.raises(Unsupported, match="my_code runs code that the model has written"):
        evaluated(lm_eval_task("my_code", code), llama(), context)
    with pytest.raises(Unsupported, match="no chat template"):
        evaluated(lm_eval_task("my_choice", folder, apply_chat_template=True), llama(), context)
    bare = copy.deepcopy(context.tokenizer)
    bare.bos_token = bare.eos_token = None
    with pytest.raises(Unsupported, match="the tokenizer has neither"):
        evaluated(lm_eval_task("my_choice", folder), llama(), TaskContext(bare, context.model, 64, 4, 0))


def test_a_chat_template_is_used_where_asked_for(folder: Path, context: TaskContext) -> None:
    plain = evaluated(lm_eval_task("my_choice", folder), llama(), context)
    context.tokenizer.chat_template = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    chat = evaluated(lm_eval_task("my_choice", folder, apply_chat_template=True), llama(), context)
    assert chat[0].protocol == plain[0].protocol + "+chat"
