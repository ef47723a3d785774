"""The cell's model as lm-eval sees it: in memory, as it stands, tuned and quantized. Derives from lm-eval's class for transformers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs, resolve_max_length

from harness.errors import Unsupported
from harness.measure.torch_memory import free_memory, out_of_memory
from harness.tasks.base import TaskContext
from harness.tasks.batches import refuse_non_finite

if TYPE_CHECKING:
    import torch
    from lm_eval.api.instance import Instance

T = TypeVar("T")


class Outputs:
    """All that lm-eval may do with the model: run it. HFLM would tie the weights of a module that it is handed once more,
    which after tuning need not be what they were."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device, self.config = model.device, model.config

    def __call__(self, input_ids: torch.Tensor, **inputs: torch.Tensor) -> SimpleNamespace:
        """The logits, (rows, positions, vocabulary), of virtual tokens too, which HFLM leaves out. Raises Diverged where one is
        not finite."""
        logits = self._model(input_ids=input_ids, use_cache=False, **inputs).logits
        refuse_non_finite(logits)
        return SimpleNamespace(logits=logits)

    def generate(self, **inputs: Any) -> torch.Tensor:
        """The model's own `generate`."""
        tokens: torch.Tensor = self._model.generate(**inputs)
        return tokens


class InMemory(HFLM):
    """lm-eval's transformers model over one that is there already, with its own ways of truncating, batching and scoring.

    Batches hold `eval_batch_size` requests; where memory runs out they are halved, which the notes say. cut: requests that
    lost their beginning because they were longer than the context. Raises Unsupported for a tokenizer without any special
    token that a text could begin with.
    """

    batch_size_per_gpu: int

    def __init__(self, model: Any, context: TaskContext, task: str) -> None:
        if context.tokenizer.bos_token_id is None and context.tokenizer.eos_token_id is None:
            raise Unsupported("lm-eval begins a text without a prompt with a beginning- or end-of-text token; the tokenizer has neither")
        own = resolve_max_length(model.config, context.tokenizer)
        super().__init__(
            pretrained=Outputs(model),
            tokenizer=copy.deepcopy(context.tokenizer),  # HFLM gives it a pad token where it has none
            backend="seq2seq" if context.model.kind == "encoder-decoder" else "causal",
            batch_size=context.eval_batch_size,
            max_length=min(own, context.model.context or own),
        )
        self.cut = self.requests = 0
        self._context, self._task = context, task
        self._answered, self._expected = 0, 0
        self.set_cache_hook(self)

    def add_partial(self, attr: str, request: Any, answer: Any) -> None:
        """lm-eval calls this with every answer, to cache it: it tells the progress."""
        self._answered += 1
        if self._answered % self.batch_size == 0 or self._answered == self._expected:
            self._context.progress(self._answered, self._expected)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """See HFLM."""
        self._expect(requests)
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """See HFLM."""
        self._expect(requests)
        answers: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=True)
        return answers

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """See HFLM. Raises Unsupported where the context has no room for what is to be generated, or nothing ends a text."""
        self._expect(requests)
        if self.tokenizer.eos_token_id is None:
            raise Unsupported("lm-eval stops generating at the end-of-text token; the tokenizer has none")
        for prompt, gen_kwargs in [request.args for request in requests]:
            room = self.max_length
            if self.backend == "causal":
                room -= normalize_gen_kwargs(gen_kwargs, self.max_gen_toks)["max_gen_toks"]
            if room <= 0:
                raise Unsupported(
                    f"{self._task} generates up to {self.max_length - room} tokens, which leaves no room for a prompt in a context of "
                    f"{self.max_length}; give gen_kwargs: {{max_gen_toks: {self.max_length // 2}}}"
                )
            self.cut += len(self.tok_encode(prompt)) > room
        generate = super().generate_until
        return self._halving(lambda: generate(requests, disable_tqdm=True))

    def _loglikelihood_tokens(self, requests: list[Any], disable_tqdm: bool = True, override_bs: int | None = None) -> list[tuple[float, bool]]:
        for _, prompt, answer in requests:
            if len(answer) > self.max_length:
                raise Unsupported(f"{self._task} scores an answer of {len(answer)} tokens, and the context holds {self.max_length}")
            read = len(prompt) + len(answer) - 1 if self.backend == "causal" else len(prompt)
            self.cut += read > self.max_length
        score = super()._loglikelihood_tokens
        return self._halving(lambda: score(requests, disable_tqdm=True, override_bs=override_bs))

    def _expect(self, requests: list[Instance]) -> None:
        self._answered, self._expected = 0, len(requests)
        self.requests += len(requests)

    def _halving(self, run: Callable[[], T]) -> T:
        """What `run` gives, begun anew with half the batch whenever memory runs out: the longest come first, so that little is lost."""
        while True:
            answered, batch = self._answered, self.batch_size_per_gpu
            try:
                return run()
            except (RuntimeError, MemoryError) as error:
                if batch == 1 or not out_of_memory(error):
                    raise
            self._answered, self.batch_size_per_gpu = answered, batch // 2
            free_memory()
            self._context.note(f"{self._task}: out of memory with {batch} requests in a batch; went on with {batch // 2}")
