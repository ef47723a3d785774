"""T-Few's training losses over answer choices. Source: Liu et al. 2022, arXiv 2205.05638, sec. 3.2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.errors import Unsupported
from harness.fields import identity
from harness.methods.base import Method
from harness.tasks.base import CHOICE_KEYS, IGNORED_LABEL, Task

if TYPE_CHECKING:
    import torch

Loss: TypeAlias = Literal["lm", "unlikelihood", "length-normalised"]
FLOOR = 1e-2  # added to 1 - p as in the authors' code: the gradient stays finite where a wrong token is certain


class ChoiceLosses(Method):
    """Mix-in for methods that can train on T-Few's losses, summed with equal weights.

    lm: the right answer's likelihood, as ever. unlikelihood: every token of a wrong answer is made unlikely.
    length-normalised: a softmax over the answers' mean log-likelihoods, as they are ranked at evaluation.
    All but `lm` alone train on rows with every answer, which only multiple-choice tasks have.
    """

    losses: tuple[Loss, ...] = identity(("lm",), min_length=1, description="what is minimised, summed: lm, unlikelihood, length-normalised (T-Few: all three)")

    @property
    def wants_choices(self) -> bool:
        """Whether training rows must carry every answer."""
        return set(self.losses) != {"lm"}

    def adapted(self, task: Task) -> Task:
        """The same task; raises Unsupported where its rows have one answer only."""
        if self.wants_choices and not task.has_choices:
            raise Unsupported(f"losses: [{', '.join(self.losses)}] need rows with all answer choices; {task.task} trains on one answer a row")
        return super().adapted(task)

    def loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """The sum of the losses over a batch of questions with their choices; the model's own loss for `lm` alone."""
        if not self.wants_choices:
            return super().loss(model, inputs)
        question, right = (inputs[key] for key in CHOICE_KEYS)
        given = {name: tensor for name, tensor in inputs.items() if name not in CHOICE_KEYS}
        logits, targets = _predictions(model, given)
        return choice_loss(self.losses, logits, targets, question, right)


def choice_loss(
    losses: tuple[Loss, ...], logits: torch.Tensor, targets: torch.Tensor, question: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    """The sum of T-Few's losses, a scalar in nats.

    logits: (answers, positions, vocabulary), each position's prediction of `targets` (answers, positions), -100
    where there is none. question: (answers,), the number of the question that each answers. right: (questions,), the
    rows of the right answers. Token losses are means over the batch's tokens, the ranking is one over its questions.
    """
    import torch

    told = targets != IGNORED_LABEL
    likelihoods = logits.float().log_softmax(dim=-1).gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0]
    is_right = torch.zeros_like(question, dtype=torch.bool).index_fill(0, right, True)
    total = logits.new_zeros((), dtype=torch.float32)
    if "lm" in losses:
        total = total - likelihoods[is_right][told[is_right]].mean()
    if "unlikelihood" in losses:
        total = total - torch.log(1 - likelihoods[~is_right][told[~is_right]].exp() + FLOOR).mean()
    if "length-normalised" in losses:
        means = (likelihoods * told).sum(dim=1) / told.sum(dim=1)
        answers = question[None, :] == torch.arange(len(right), device=question.device)[:, None]
        of_question = means.masked_fill(~answers, -torch.inf)  # (questions, answers)
        total = total - (means[right] - of_question.logsumexp(dim=1)).mean()
    return total


def _predictions(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and the tokens that they predict: an encoder-decoder's are aligned, a decoder's one position apart."""
    labels = inputs["labels"]
    if model.config.is_encoder_decoder:  # makes the decoder's inputs of its labels
        return model(**inputs).logits, labels
    logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False).logits
    return logits[:, :-1], labels[:, 1:]
