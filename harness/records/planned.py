"""The planned cells of a run, as its run.json has them: a run writes them, a report reads them to know what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator

Place: TypeAlias = Mapping[str, Any]  # axis -> where a cell stands on it, swept fields included


def _ids_alone(planned: Any) -> Any:
    """Runs of older versions have ids without places."""
    only_ids = isinstance(planned, list) and all(isinstance(id_, str) for id_ in planned)
    return {id_: {} for id_ in planned} if only_ids else planned


Planned: TypeAlias = Annotated[dict[str, dict[str, Any]], BeforeValidator(_ids_alone)]  # id of a cell -> its place; empty where that is not told
