"""What the fork server imports once, so that every cell starts with it: torch, transformers, peft and their like.

The only module that imports torch when it is imported. It leaves CUDA untouched, since a process forked from one
that had a CUDA context could not have one of its own, and it starts no pool of threads of its own: a fork copies
the thread that forks and no other. (OpenBLAS and jemalloc bring threads and mend themselves after a fork.)
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from harness.quantization.gptqmodel_library import prepare_import
from harness.runs.process_tree import die_with_parent
from harness.runs.source_version import source_version

ENVIRONMENT = {
    # asks the driver whether there is a GPU without making a context
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    # the tokenizers' own threads and a fork in a data loader do not go together
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    # OpenMP threads that spin while they wait make every other process on a small machine wait too, the sampler first
    "OMP_WAIT_POLICY": "passive",
}


@contextmanager
def hidden(module: str) -> Iterator[None]:
    """While this holds, `import module` raises ImportError, unless it has been imported before."""
    was_absent = module not in sys.modules
    if was_absent:
        sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if was_absent:
            del sys.modules[module]


@contextmanager
def _quiet() -> Iterator[None]:
    """Advice that libraries print when they are imported is for their developers, not for who runs a suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def import_peft_without_bitsandbytes() -> None:
    """Imports peft on a machine with a GPU, where importing bitsandbytes makes a CUDA context.

    peft imports bitsandbytes when it finds it; in a cell, where it is asked for again, it is found as ever.
    What transformers and accelerate think of its presence is remembered, so they are asked before it is hidden.
    """
    from accelerate.utils import is_bnb_available
    from transformers.utils import is_bitsandbytes_available

    is_bnb_available(), is_bitsandbytes_available()
    with hidden("bitsandbytes"):
        import peft  # noqa: F401


def _import_all() -> None:
    import torch

    if torch.cuda.is_available():
        import_peft_without_bitsandbytes()
    else:
        import bitsandbytes  # noqa: F401
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import psutil  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pynvml  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import transformers.models.bert.modeling_bert
    import transformers.models.llama.modeling_llama
    import transformers.models.t5.modeling_t5  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForCausalLM,
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
    )

    import harness.measure.sampler
    import harness.runs.cell  # noqa: F401
    from harness.methods.base import METHODS
    from harness.quantization.base import SCHEMES
    from harness.tasks.base import TASKS

    for registry in (METHODS, SCHEMES, TASKS):
        registry.import_own()

    assert not torch.cuda.is_initialized(), "an import has made a CUDA context: cells forked from here could have none"


die_with_parent(os.getppid())
os.environ.update({key: value for key, value in ENVIRONMENT.items() if key not in os.environ})
prepare_import()  # peft imports gptqmodel, where it is installed, when it wraps a layer
with _quiet():
    _import_all()
# what was imported lives for ever: left out of every collection, its pages stay shared with the cells
gc.collect()
gc.freeze()

PRELOADED_IN = os.getpid()
SOURCE = source_version()
