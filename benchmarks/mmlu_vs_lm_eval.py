"""MMLU here and by lm-eval: the same model, the same questions, the same batch size; how long each takes, and where they differ.

    python benchmarks/mmlu_vs_lm_eval.py [--items 2000] [--repeats 3] [--batch-size 8] [--device cpu]
    python benchmarks/mmlu_vs_lm_eval.py --model micro:decoder --items 14042 --repeats 1 [--shots 0] [--scoring full-answer]

The model is a random Llama of 4 layers, 256 wide, unless another is named. Both do all of it each time: reading the questions, prompts, tokens, forward passes, accuracy. They take turns, so that a slow
moment of the machine meets both; what is said is the medians and their ratio, and how many questions both answer alike. The
questions are the first of every subject in equal numbers, so that few of them share their shots: of the whole set more do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

from harness.micro import model_path
from harness.needs import ModelFacts
from harness.tasks.base import TASKS, TaskContext
from harness.tasks.mmlu import Mmlu

ROOT = Path(__file__).parents[1]
CONTEXT = 4096
VOCABULARY = 8000


def questions(data: Path, count: int, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`count` questions of the test split, and all of dev; both written to `folder` as well."""
    test, dev = (pd.read_parquet(data / f"{split}.parquet") for split in ("test", "dev"))
    order = test.groupby("subject").cumcount().sort_values(kind="stable").index[:count]
    chosen = test.loc[sorted(order)].reset_index(drop=True)
    chosen.to_parquet(folder / "test.parquet")
    dev.to_parquet(folder / "dev.parquet")
    return chosen, dev


def tokenizer_of(rows: pd.DataFrame) -> Any:
    """A byte-level BPE trained on the rows, so that prompts are about as long as a real model's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = [text for question, choices in zip(rows["question"], rows["choices"], strict=True) for text in (question, *choices, "Answer: A")]
    trained.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False))
    trained.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=CONTEXT)


def random_llama(device: str) -> Any:
    """4 layers, 256 wide; weights wide enough that letters differ by more than rounding."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 8, "max_position_embeddings": CONTEXT}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, initializer_range=0.05, **shape)).eval().to(device)


def model_and_tokenizer(name: str, device: str, rows: pd.DataFrame) -> tuple[Any, Any]:
    """`random`, `micro:decoder`, or a folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if name == "random":
        return random_llama(device), tokenizer_of(rows)
    folder = model_path(name.removeprefix("micro:")) if name.startswith("micro:") else name
    return AutoModelForCausalLM.from_pretrained(folder).eval().to(device), AutoTokenizer.from_pretrained(folder)


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds of every repeat, and how many answers are the same."""
    sys.path.insert(0, str(ROOT / "tests" / "tasks"))
    from lm_eval_mmlu import lm_eval_results, lm_eval_scores

    test, dev = questions(arguments.data, arguments.items, folder)
    model, tokenizer = model_and_tokenizer(arguments.model, arguments.device, test)
    task = TASKS.get("mmlu")(task="mmlu", data=str(folder), prompt="lm-eval", num_fewshot=arguments.shots, scoring=arguments.scoring)
    assert isinstance(task, Mmlu)
    context = TaskContext(tokenizer, ModelFacts(model.config.model_type, "decoder", context=model.config.max_position_embeddings), 512, arguments.batch_size, 0)
    seconds: dict[str, list[float]] = {"harness": [], "lm_eval": []}
    for _ in range(arguments.repeats):
        begun = time.perf_counter()
        with torch.inference_mode():
            metrics = task.evaluate(model, context)
        seconds["harness"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        results = lm_eval_results(model, tokenizer, test, dev, shots=arguments.shots, scoring=arguments.scoring, batch_size=arguments.batch_size)
        seconds["lm_eval"].append(time.perf_counter() - begun)
    with torch.inference_mode():
        scores, _ = task.scores(model, task.evaluation_rows("test", context), context)
    answers = zip(scores, lm_eval_scores(results, test), strict=True)
    different = [place for place, (ours, theirs) in enumerate(answers) if int(ours.argmax()) != max(range(4), key=theirs.__getitem__)]
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        "items": len(test), "equal": len(test) - len(different), "different": different, "accuracy": metrics[0].value, "protocol": metrics[0].protocol, "seconds": seconds,
        "medians": medians, "ratio": medians["harness"] / medians["lm_eval"], "notes": context.notes,
    }  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help="random, micro:decoder, or a folder")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--scoring", choices=["letter", "full-answer"], default="letter")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "mmlu")
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(arguments, Path(temporary))
    if arguments.json:
        print(json.dumps(found))
        return
    medians = found["medians"]
    print(f"{found['items']} questions, {found['equal']} answered alike ({found['protocol']}, accuracy {found['accuracy']:.4f})")
    print(f"harness {medians['harness']:.1f} s, lm-eval {medians['lm_eval']:.1f} s: ratio {found['ratio']:.3f} (target 0.333), medians of {arguments.repeats}")
    if found["different"]:
        print(f"  answered differently: questions {', '.join(map(str, found['different'][:20]))}")
    for note in found["notes"]:
        print(f"  {note}")


if __name__ == "__main__":
    main()
