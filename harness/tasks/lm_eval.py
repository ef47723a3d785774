"""Whatever lm-evaluation-harness has, on the model in memory: `lm-eval:hellaswag`, `lm-eval:mmlu`, or tasks of one's own in its format.

Source: EleutherAI's lm-evaluation-harness (Gao et al.), the installed `lm_eval`. Protocol `lm-eval/<task>/<version>/<shots>shot`:
docs/protocols/lm_eval.md.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import model_validator

from harness.errors import Unsupported
from harness.fields import identity, runtime
from harness.needs import ModelFacts, Needs
from harness.records.schema import Metric
from harness.tasks.base import TASKS, Head, Task, TaskContext
from harness.tasks.lm_eval_harness.documents import see_documents
from harness.tasks.lm_eval_harness.loading import defined_in, lm_eval_seeds, loaded, unsafe
from harness.tasks.lm_eval_harness.names import check_folder, check_name, files_of, installed
from harness.tasks.lm_eval_harness.results import Results

_NOT_OURS = ("data", "data_revision", "max_train_samples", "max_dev_samples", "dev_from", "stratified")


@TASKS.register("lm-eval:*")
class LmEval(Task):
    """Any task, group or tag of lm-evaluation-harness, evaluated by itself on the model in memory."""

    needs: ClassVar[Needs] = Needs(packages=("lm_eval",), kinds=("decoder", "encoder-decoder"), extra="lm-eval")
    trainable: ClassVar[bool] = False

    num_fewshot: int | None = identity(None, ge=0, description="solved examples before each question; null: as many as the task says. A task that fixes none keeps none")
    include_path: str | None = runtime(None, description="folder with tasks of one's own in lm-eval's yaml; they go before lm-eval's of the same name. Its content is part of the cell's id, where it lies is not")
    apply_chat_template: bool = identity(False, description="ask in the tokenizer's chat template, shots as turns of the conversation")
    gen_kwargs: dict[str, bool | int | float | str | list[str]] | None = identity(None, description="laid over the task's generation_kwargs: {max_gen_toks: 128}; of tasks that generate")
    bootstrap_iters: int = identity(100_000, ge=0, description="resamples for the standard errors of metrics that are no mean; 0: no standard errors at all")

    @model_validator(mode="after")
    def _data_is_lm_evals(self) -> LmEval:
        given = [name for name in _NOT_OURS if name in self.model_fields_set]
        if given:
            raise ValueError(f"{given[0]}: lm-eval's tasks say themselves where their data is, and are not trained on; tasks of your own go into a folder, include_path")
        return self

    @property
    def name(self) -> str:
        """The task's name as lm-eval has it."""
        return self.task.partition(":")[2]

    def head(self, model: ModelFacts) -> Head:
        return Head("seq2seq-lm" if model.kind == "encoder-decoder" else "causal-lm")

    def first_items(self, count: int) -> LmEval:
        """See Task.first_items; without standard errors, whose resampling takes longer than the items."""
        return super().first_items(count).model_copy(update={"bootstrap_iters": 0})

    def with_shots(self, shots: int) -> LmEval:
        """The same task asked with that many examples."""
        return self.model_copy(update={"num_fewshot": shots})

    def check_data(self) -> None:
        """Refuses a folder that is none and a name that neither it nor lm-eval has; without lm-eval the plan says so instead."""
        if self.include_path is not None:
            check_folder(Path(self.include_path))
        if installed():
            check_name(self.name, self._folder)

    def local_files(self) -> list[Path]:
        """Everything in include_path."""
        if self.include_path is None:
            return []
        check_folder(Path(self.include_path))
        return files_of(Path(self.include_path))

    def look_at_evaluation_rows(self, context: TaskContext) -> None:
        """See Task."""
        see_documents(self._loaded()["tasks"], self.max_eval_samples, context.used, reader=self.model_dump_json())

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        """See Task; raises Unsupported for a task that this model or tokenizer cannot be asked."""
        from lm_eval.evaluator import evaluate

        from harness.tasks.lm_eval_harness.in_memory import InMemory

        tasks = self._loaded()
        self._refuse(tasks["tasks"], context)
        self.look_at_evaluation_rows(context)
        lm = InMemory(model, context, self.task)
        with lm_eval_seeds() as seed:
            for task in tasks["tasks"].values():
                task.set_fewshot_seed(seed=seed)
            found = evaluate(
                lm, tasks, limit=self.max_eval_samples, bootstrap_iters=self.bootstrap_iters,
                apply_chat_template=self.apply_chat_template, fewshot_as_multiturn=True,
            )  # fmt: skip
        for task in tasks["tasks"].values():
            task.instances.clear()  # prompts and answers, which the task would keep while the cell trains
        self._note_shots(found["n-shot"], context)
        if lm.cut:
            context.note(f"{self.task}: {lm.cut} of {lm.requests} requests were longer than the context of {lm.max_length} tokens and lost their beginning")
        own = f"@{self._content()}"
        return Results(found, tasks, self.name, lambda name: name + own * defined_in(name, self._folder), self._suffix(bool(lm.cut)), context.note).metrics()

    @property
    def _folder(self) -> Path | None:
        return None if self.include_path is None else Path(self.include_path)

    def _loaded(self) -> dict[str, Any]:
        gen_kwargs = None if self.gen_kwargs is None else json.dumps(self.gen_kwargs, sort_keys=True)
        with lm_eval_seeds():
            return loaded(self.name, self._folder, self.num_fewshot, gen_kwargs)

    def _refuse(self, tasks: dict[str, Any], context: TaskContext) -> None:
        for name, task in tasks.items():
            if getattr(task, "UNSAFE_CODE", False):
                raise Unsupported(unsafe(name))
            if getattr(task, "MULTIMODAL", False):
                raise Unsupported(f"lm-eval's {name} asks about images or sound; text alone is evaluated here")
        if self.apply_chat_template and context.tokenizer.chat_template is None:
            raise Unsupported("apply_chat_template: the tokenizer has no chat template")

    def _note_shots(self, shots: dict[str, int], context: TaskContext) -> None:
        others = [name for name, used in shots.items() if self.num_fewshot is not None and used != self.num_fewshot]
        if others:
            context.note(f"{self.task}: {', '.join(others[:3])}{' and others' if len(others) > 3 else ''} fix the number of shots themselves; num_fewshot: {self.num_fewshot} is not theirs")

    def _suffix(self, shortened: bool) -> str:
        """What makes the numbers other ones than lm-eval gives by itself."""
        words = ["chat"] if self.apply_chat_template else []
        words += [f"{key}={json.dumps(value)}" for key, value in sorted((self.gen_kwargs or {}).items())]
        words += [] if self.max_eval_samples is None else [f"first-{self.max_eval_samples}-rows"]
        return "".join(f"+{word}" for word in words + ["shortened"] * shortened)

    def _content(self) -> str:
        """A hash of the folder's content, for protocol ids of what it defines: two people's `my_task` are not the same."""
        content = hashlib.sha256()
        for path in self.local_files():
            content.update(f"{path.name}:".encode() + path.read_bytes())
        return content.hexdigest()[:8]
