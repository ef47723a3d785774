"""ONE table of all that is measured: key, label, unit, how it is printed, which way is better, what it means.

A key is a metric's name (`accuracy`) or a path into the record (`memory.peak_vram`). Tables, plots, CSV
headers, claims and the regression gate read this table and know nothing else of units or directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.errors import UnknownName


@dataclass(frozen=True)
class Quantity:
    """One thing that is measured.

    unit: of the stored value (bytes, s, J, ...), None for a pure number. style: how `show` prints it.
    higher_is_better: None where neither way is better. quality: a score of the model (meaningless for
    random weights), not a cost. exact: a count, the same in every repetition, so that it has no noise.
    """

    key: str
    label: str
    unit: str | None
    style: str
    higher_is_better: bool | None
    meaning: str
    quality: bool = False
    exact: bool = False

    @property
    def points(self) -> float:
        """How many printed units one stored unit is: 100 for shares (printed in points of a hundred), else 1."""
        return 100.0 if self.style == "share" else 1.0

    def show(self, value: float | None) -> str:
        """The value as a person reads it, unit included where the style has one; `–` for None."""
        return "–" if value is None else _STYLES[self.style](value)

    def show_difference(self, value: float | None) -> str:
        """A difference of two values with its sign, in the unit that `show` prints; `–` for None, no sign for a printed 0."""
        if value is None:
            return "–"
        text = self.show(abs(value))
        return text if text == self.show(0.0) else f"{'+' if value > 0 else '−'}{text}"


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f} B"


def _seconds(value: float) -> str:
    whole = round(value)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{value:.2f} s"


def _count(value: float) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        scaled = float(f"{value / size:.3g}")
        if abs(scaled) >= 1:
            return f"{scaled:g} {unit}"
    return f"{value:.0f}"


_STYLES: Mapping[str, Callable[[float], str]] = {
    "share": lambda value: f"{100 * value:.2f}",  # 0..1 stored, printed in points of a hundred as papers do
    "plain": lambda value: f"{value:.4g}",
    "perplexity": lambda value: f"{value:.3f}" if value < 10 else f"{value:.2f}" if value < 1000 else f"{value:.4g}",
    "percent": lambda value: f"{value:.3g} %",
    "bytes": _bytes,
    "seconds": _seconds,
    "ms": lambda value: f"{value:.1f} ms",
    "count": _count,
    "rate": lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}",
    "joules": lambda value: f"{value / 1000:.2f} kJ" if value >= 1000 else f"{value:.1f} J",
}


def _table(*quantities: Quantity) -> Mapping[str, Quantity]:
    return {quantity.key: quantity for quantity in quantities}


def _latencies() -> Iterator[Quantity]:
    """Times of generation and of batches, their percentiles, and what each is above that of the base; without a size in the
    address: at the smallest batch and the shortest prompt."""
    smallest = "where the address has no size: smallest batch, shortest prompt"
    times = {
        "latency.ttft": ("first token", "time to the first generated token"),
        "latency.tpot": ("per token", "time per further generated token"),
        "latency.e2e": ("end to end", "time from the prompt to the last generated token"),
        "batch_latency.batch": ("batch", "time of a forward pass over one batch"),
    }
    for key, (label, meaning) in times.items():
        for name, which in (("p50", "median"), ("p90", "90th percentile of the"), ("p99", "99th percentile of the")):
            yield Quantity(f"{key}_ms.{name}", f"{label} {name}", "ms", "ms", False, f"{which} {meaning}; {smallest}")
        yield Quantity(f"{key}_overhead", f"{label} overhead", "%", "percent", False, f"median {meaning} above that of the model without the method; {smallest}")
    yield Quantity("latency.tokens_per_second", "generated tokens/s", "1/s", "rate", True, f"tokens generated per second; {smallest}")
    yield Quantity("batch_latency.samples_per_second", "answered samples/s", "1/s", "rate", True, f"rows answered per second; {smallest}")


QUANTITIES = _table(
    Quantity("accuracy", "accuracy", None, "share", True, "share of items answered right", quality=True),
    Quantity("accuracy_macro", "accuracy (macro)", None, "share", True, "mean over subjects of the share answered right", quality=True),
    Quantity("accuracy_norm", "accuracy (norm.)", None, "share", True, "share of items answered right, log-likelihoods divided by the answers' characters", quality=True),
    Quantity("accuracy_norm_macro", "accuracy (norm., macro)", None, "share", True, "mean over subjects of the length-normalised accuracy", quality=True),
    Quantity("accuracy_mismatched", "accuracy (mismatched)", None, "share", True, "MNLI accuracy on the genres not trained on", quality=True),
    Quantity("acc", "acc", None, "share", True, "lm-eval: share of documents whose right answer is the likeliest", quality=True),
    Quantity("acc_norm", "acc_norm", None, "share", True, "lm-eval: share of documents whose right answer is the likeliest per character", quality=True),
    Quantity("f1", "F1", None, "share", True, "harmonic mean of precision and recall of class 1", quality=True),
    Quantity("f1_macro", "F1 (macro)", None, "share", True, "mean over the classes of each one's F1", quality=True),
    Quantity("f1_tokens", "F1 (tokens)", None, "share", True, "mean over questions of the F1 of words shared with the nearest right answer", quality=True),
    Quantity("exact_match", "exact match", None, "share", True, "share of questions answered right in every part", quality=True),
    Quantity("matthews_correlation", "Matthews corr.", None, "share", True, "correlation of predicted and true classes, -1..1", quality=True),
    Quantity("pearson", "Pearson", None, "share", True, "linear correlation of predicted and true scores, -1..1", quality=True),
    Quantity("spearmanr", "Spearman", None, "share", True, "rank correlation of predicted and true scores, -1..1", quality=True),
    Quantity("perplexity", "perplexity", None, "perplexity", False, "exp of the mean negative log-likelihood per predicted token", quality=True),
    Quantity("perplexity_strided", "perplexity (strided)", None, "perplexity", False, "perplexity per token over windows that overlap, only their new tokens scored", quality=True),
    Quantity("word_perplexity", "perplexity per word", None, "perplexity", False, "exp of documents' negative log-likelihood per word", quality=True),
    Quantity("byte_perplexity", "perplexity per byte", None, "perplexity", False, "exp of documents' negative log-likelihood per byte", quality=True),
    Quantity("bits_per_byte", "bits per byte", None, "plain", False, "documents' negative log-likelihood per byte, in bits", quality=True),
    Quantity("bleu", "BLEU", None, "share", True, "n-grams of the texts that the references have, over the corpus", quality=True),
    Quantity("bleu_4", "BLEU-4", None, "share", True, "mean of the texts' own smoothed BLEU", quality=True),
    Quantity("nist", "NIST", None, "plain", True, "n-grams that the references have, weighed by how rare they are", quality=True),
    Quantity("meteor", "METEOR", None, "share", True, "alignment with a reference by words, stems, synonyms and paraphrases", quality=True),
    Quantity("cider", "CIDEr", None, "plain", True, "likeness of n-grams with those of the references, weighed by tf-idf, 0..10", quality=True),
    Quantity("rouge_1", "ROUGE-1", None, "share", True, "F1 of single words shared with a reference", quality=True),
    Quantity("rouge_2", "ROUGE-2", None, "share", True, "F1 of word pairs shared with a reference", quality=True),
    Quantity("rouge_l", "ROUGE-L", None, "share", True, "F1 of the longest common subsequence with a reference", quality=True),
    Quantity("rouge_lsum", "ROUGE-Lsum", None, "share", True, "F1 of common subsequences, sentence by sentence", quality=True),
    Quantity("rouge_l_coco", "ROUGE-L (COCO)", None, "share", True, "ROUGE-L with beta 1.2, the best precision and recall over references", quality=True),
    Quantity("memory.peak_vram", "peak memory", "bytes", "bytes", False, "largest peak over all phases, of the best source there was"),
    Quantity("memory.train_peak", "train peak", "bytes", "bytes", False, "peak memory of the train phase, of the same source as the headline"),
    Quantity("memory.train_outside_torch", "train, outside torch", "bytes", "bytes", False, "peak memory of the process in the train phase beyond what torch reserved: the CUDA context, and what libraries allocate themselves"),
    Quantity("memory.train_fragmentation", "train, fragmentation", "bytes", "bytes", False, "peak of what torch reserved in the train phase less the peak of what lay in live tensors"),
    Quantity("memory.evaluate_peak", "evaluate peak", "bytes", "bytes", False, "peak memory of the evaluate phase, of the same source as the headline"),
    Quantity("memory.evaluate_merged_peak", "merged evaluate peak", "bytes", "bytes", False, "peak memory while the merged model was evaluated"),
    Quantity("memory.evaluate_requantized_peak", "requantized evaluate peak", "bytes", "bytes", False, "peak memory while the model that was merged and quantized again was evaluated"),
    Quantity("timing.total", "total time", "s", "seconds", False, "wall time of the cell, process start excluded"),
    Quantity("timing.train", "train time", "s", "seconds", False, "wall time of the train phase"),
    Quantity("timing.load", "load time", "s", "seconds", False, "wall time of the load phase"),
    Quantity("timing.quantize", "quantize time", "s", "seconds", False, "wall time of the quantize phase"),
    Quantity("timing.merge", "merge time", "s", "seconds", False, "wall time of merging what was tuned, loading and dequantizing the base included"),
    Quantity("timing.requantize", "requantize time", "s", "seconds", False, "wall time of quantizing the merged model again, loading it included"),
    Quantity("timing.evaluate", "evaluate time", "s", "seconds", False, "wall time of the evaluate phase"),
    Quantity("training.tokens_per_second", "tokens/s", "1/s", "rate", True, "real tokens trained on per second after warm-up"),
    Quantity("training.samples_per_second", "samples/s", "1/s", "rate", True, "rows trained on per second after warm-up"),
    Quantity("training.step_ms.p50", "step p50", "ms", "ms", False, "median time of an optimizer step after warm-up"),
    Quantity("training.step_ms.p90", "step p90", "ms", "ms", False, "90th percentile of the time of an optimizer step after warm-up"),
    Quantity("training.step_ms.p99", "step p99", "ms", "ms", False, "99th percentile of the time of an optimizer step after warm-up"),
    Quantity("training.padded_tokens_per_second", "padded tokens/s", "1/s", "rate", True, "tokens computed per second after warm-up, padding included"),
    Quantity("training.mfu", "MFU %", None, "share", True, "model FLOPs per second after warm-up, of the card's dense peak for the dtype computed in"),
    Quantity("training.data_wait_share", "data wait %", None, "share", False, "share of the time after warm-up in which the training loop waited for its batches"),
    Quantity("training.data_wait_ms.p50", "data wait p50", "ms", "ms", False, "median time per optimizer step that the training loop waited for its batches"),
    Quantity("training.data_wait_ms.p90", "data wait p90", "ms", "ms", False, "90th percentile of the time per optimizer step that the training loop waited for its batches"),
    Quantity("training.data_wait_ms.p99", "data wait p99", "ms", "ms", False, "99th percentile of the time per optimizer step that the training loop waited for its batches"),
    Quantity("training.steps", "steps", None, "plain", None, "optimizer steps taken"),
    Quantity("training.best_step", "best step", None, "plain", None, "optimizer steps taken when the dev rows scored best"),
    Quantity("training.final_loss", "final loss", None, "plain", False, "mean training loss of the last logging interval", quality=True),
    Quantity("parameters.trainable", "trainable", None, "count", False, "parameters that training changed", exact=True),
    Quantity("parameters.trainable_percent", "trainable %", "%", "percent", False, "parameters that training changed, of all", exact=True),
    Quantity("parameters.total", "parameters", None, "count", None, "all parameters, the method's own included", exact=True),
    Quantity("sizes.model_bytes", "weights", "bytes", "bytes", False, "weights in memory as the scheme stores them", exact=True),
    Quantity("sizes.merged_bytes", "merged weights", "bytes", "bytes", False, "weights in memory with what was tuned merged into unquantized ones", exact=True),
    Quantity("sizes.requantized_bytes", "requantized weights", "bytes", "bytes", False, "weights in memory, merged and quantized again", exact=True),
    Quantity("sizes.adapter_bytes", "adapter", "bytes", "bytes", False, "what the method saved to disk", exact=True),
    Quantity("quantization.bits_per_weight", "bits per weight", None, "plain", False, "bits that a weight of the quantized layers takes in memory, constants included", exact=True),
    Quantity("quantization.bytes", "quantized weights", "bytes", "bytes", False, "bytes of the quantized layers' weights in memory, constants included", exact=True),
    Quantity("quantization.seconds", "time to quantize", "s", "seconds", False, "wall time of quantizing the weights, once for all cells that load them"),
    Quantity("quantization.peak_bytes", "peak while quantizing", "bytes", "bytes", False, "peak memory while the weights were quantized"),
    Quantity("quantization.disk_bytes", "quantized, on disk", "bytes", "bytes", False, "bytes of the quantized weights in the cache", exact=True),
    Quantity("energy.train", "train energy", "J", "joules", False, "energy of the GPU in the train phase"),
    Quantity("energy.joules_per_training_token", "J/token trained", "J", "plain", False, "energy of the GPU in the train phase per real token trained on"),
    Quantity("energy.joules_per_generated_token", "J/token generated", "J", "plain", False, "energy of the GPU in the generate phase per token generated in it"),
    *_latencies(),
)


def quantity(key: str) -> Quantity:
    """The table's entry for a metric's name or a record path; `accuracy:<subject>` and `accuracy@<task>` are accuracies.

    Raises UnknownName with the nearest known key.
    """
    base = key.split(":", 1)[0].split("@", 1)[0]
    if base not in QUANTITIES:
        raise UnknownName("metric or quantity", key, QUANTITIES)
    return QUANTITIES[base]
