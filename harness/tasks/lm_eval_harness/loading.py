"""lm-eval's tasks, loaded: one from an index of its folder alone, several from that of all."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import DataError, Unsupported
from harness.tasks.lm_eval_harness.names import names_in, shipped_names


@lru_cache(maxsize=8)
def loaded(name: str, include_path: Path | None, num_fewshot: int | None, gen_kwargs: str | None) -> dict[str, Any]:
    """lm-eval's TaskDict (`tasks`, `groups`, `group_map`) of a task, group or tag, with shots and generation set.

    Kept, because a cell asks before training and after it. gen_kwargs: as JSON. Raises DataError for a definition or data that
    cannot be loaded, Unsupported for a package that the task wants and that is not installed.
    """
    import jinja2
    import yaml
    from datasets.exceptions import DatasetsError

    index = _index(name, include_path)
    definition = index.task_index[name].cfg or {} if name in index.task_index else {}
    if definition.get("unsafe_code"):
        raise Unsupported(unsafe(name))  # before its functions are imported, which may try such code
    try:
        found: dict[str, Any] = index.load([name])
    except ModuleNotFoundError as error:
        raise Unsupported(f"lm-eval's task {name} needs the package {error.name}, which is not installed") from error
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, DatasetsError, jinja2.TemplateError, yaml.YAMLError) as error:
        raise DataError(_failed(name, definition, error)) from error
    for task in found["tasks"].values():
        _set(task, num_fewshot, gen_kwargs)
    return found


def unsafe(name: str) -> str:
    """Why a task whose metric runs what the model has written is not done."""
    return f"lm-eval's {name} runs code that the model has written, which is not done here"


def _failed(name: str, definition: dict[str, Any], error: Exception) -> str:
    """What to say of a task that could not be loaded: with the data set, where its definition names one."""
    names = " ".join(str(definition[key]) for key in ("dataset_path", "dataset_name") if definition.get(key))
    data = f"; its data set is {names}" if names else ""
    network = "; without a network, data sets must be in the cache of `datasets`" if isinstance(error, OSError) else ""
    return f"lm-eval's task {name} cannot be loaded: {type(error).__name__}: {error}{data}{network}"


def task_file(name: str, include_path: Path | None) -> Path | None:
    """The file that defines a single task, the folder's own before lm-eval's; None for groups and tags."""
    local = names_in(include_path) if include_path is not None else None
    return (local if local is not None and name in local else shipped_names()).tasks.get(name)


def defined_in(name: str, include_path: Path | None) -> bool:
    """Whether the folder defines that name, and not lm-eval."""
    return include_path is not None and name in names_in(include_path)


def _index(name: str, include_path: Path | None) -> Any:
    """An index that has the name and all that it gathers, no larger than need be, as that of all tasks takes its time."""
    from lm_eval.tasks import TaskManager

    file = task_file(name, include_path)
    if file is not None:
        return TaskManager(include_path=file.parent, include_defaults=False)
    if include_path is not None and name in names_in(include_path) and name not in shipped_names():
        local = TaskManager(include_path=include_path, include_defaults=False)
        if _complete(name, local.task_index):
            return local
    return TaskManager(include_path=include_path)


def _complete(name: str, index: dict[str, Any]) -> bool:
    """Whether the index knows a name and all that it gathers."""
    if name not in index:
        return False
    members = (index[name].cfg or {}).get("task")
    return not isinstance(members, list) or all(_complete(member, index) for member in _named(members))


def _named(members: list[Any]) -> Iterator[str]:
    """The names in a group's list, those of groups written out within it included."""
    for member in members:
        inner = member.get("task") if isinstance(member, dict) else member
        if isinstance(inner, list):
            yield from _named(inner)
        else:
            yield str(inner if inner is not None else member["group"])


def _set(task: Any, num_fewshot: int | None, gen_kwargs: str | None) -> None:
    """What lm_eval.simple_evaluate sets: shots, unless the task fixes them at none, and what generation is told."""
    if gen_kwargs is not None and task.get_config("output_type") == "generate_until":
        task.set_config("generation_kwargs", json.loads(gen_kwargs), update=True)
    own = task.get_config("num_fewshot")
    if num_fewshot is None:
        task.set_config("num_fewshot", own or 0)
    elif own != 0:
        task.set_config("num_fewshot", num_fewshot)


@contextmanager
def lm_eval_seeds() -> Iterator[int]:
    """The random generators seeded as lm_eval.simple_evaluate seeds them, and the seed for its shots; afterwards the generators
    go on as if nothing had been."""
    import numpy as np
    import torch
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    python, array = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        random.seed(DEFAULT_RANDOM_SEED)
        np.random.seed(DEFAULT_OTHER_SEED)
        torch.manual_seed(DEFAULT_OTHER_SEED)
        try:
            yield DEFAULT_OTHER_SEED
        finally:
            random.setstate(python)
            np.random.set_state(array)
