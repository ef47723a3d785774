"""`harness cache list|verify|prune`: the quantized weights that are kept between runs."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.quantization.cache import QuantizedCache
    from harness.quantization.cache_contents import Kept

cache_app = typer.Typer(help="Look at, check and clear the quantized weights that are kept between runs ($HARNESS_CACHE).", no_args_is_help=True)


@cache_app.command("list")
def list_command(as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything that an entry says of itself.")] = False) -> None:
    """List the entries: model, scheme, calibration, size, when they were made and last used; and checkpoints that were rewritten (ChatGLM)."""
    from harness.quantization.cache_contents import contents

    cache = _cache()
    kept = contents(cache)
    if as_json:
        print(json.dumps([_as_json(each) for each in kept], indent=1))
        return
    rows = [("key", "model", "scheme", "calibration", "size", "made", "last used")]
    rows += [(each.key, *_described(each), _size(each.bytes), _made(each), _minute(each.used)) for each in kept]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if kept else ():  # no table: keys are copied from here, so they must stay whole at any width
        _say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    _say(f"{cache.folder}: {len(kept)} entries, {_size(sum(each.bytes for each in kept))}")
    _say_rewritten()


def _say_rewritten() -> None:
    """What else in the cache takes room: ChatGLM checkpoints as GLM ones, which no command here removes."""
    from harness.models.chatglm_checkpoint import FOLDER, rewritten
    from harness.models.source import cache_folder

    folders = rewritten(cache_folder())
    for folder, size in folders.items():
        _say(f"{folder.name}  ChatGLM checkpoint rewritten for the native class  {_size(size)}")
    if folders:
        _say(f"{cache_folder() / FOLDER}: {len(folders)} checkpoints, {_size(sum(folders.values()))}; remove a folder by hand while no cell runs, and it is rewritten when one needs it")


@cache_app.command("verify")
def verify_command() -> None:
    """Read every byte of every entry and say which are damaged; a damaged one is quantized anew when a cell needs it.

    Exit code 1 when one is damaged.
    """
    from harness.quantization.cache_contents import contents, damage_of

    cache = _cache()
    kept = contents(cache)
    damaged = [(each, damage) for each in kept if (damage := damage_of(each)) is not None]
    for each, damage in damaged:
        what = "" if each.entry is None else f" {each.entry.title.model} {each.entry.title.scheme}"
        _say(f"{each.key}{what}: damaged: {damage}")
    _say(f"{cache.folder}: {len(kept) - len(damaged)} of {len(kept)} entries are sound")
    if damaged:
        raise typer.Exit(1)


@cache_app.command("prune")
def prune_command(
    older_than: Annotated[float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Those that no cell has taken for so many days.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="GLOB", help="Those of models whose source, or the last part of it, matches: 'opt-*'.")] = None,
    scheme: Annotated[str | None, typer.Option("--scheme", metavar="GLOB", help="Those of schemes whose name matches: 'gptq-*'.")] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Those that are damaged; reads every byte.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove entries that fit every condition given, and what processes that died have left unfinished.

    Exit code 1 when one that was to go is in use by a running cell, and stays.
    """
    from harness.errors import RequestError
    from harness.quantization.cache_contents import contents, damage_of, idle_for

    conditions = older_than is not None or model is not None or scheme is not None or damaged
    if conditions == everything:
        raise RequestError("say what is to go: --older-than DAYS, --model GLOB, --scheme GLOB and --damaged, or --all alone")
    cache = _cache()
    chosen = [
        each
        for each in contents(cache)
        if (older_than is None or idle_for(each, older_than)) and each.matches(model, scheme) and (not damaged or damage_of(each) is not None)
    ]
    if dry_run:
        for each in chosen:
            _say(f"would remove {_line(each)}")
        _say(f"{len(chosen)} entries, {_size(sum(each.bytes for each in chosen))}; nothing was removed")
        return
    gone, left = _prune(cache, chosen)
    unfinished = cache.sweep()
    also = f"; and {unfinished} that processes which died had left unfinished" if unfinished else ""
    _say(f"removed {len(gone)} entries, {_size(sum(each.bytes for each in gone))}{also}")
    if left:
        raise typer.Exit(1)


def _prune(cache: QuantizedCache, chosen: list[Kept]) -> tuple[list[Kept], list[Kept]]:
    """(those that are gone, those that stay)."""
    from harness.quantization.cache_contents import prune

    gone: list[Kept] = []
    left: list[Kept] = []
    for each, reason in prune(cache, chosen):
        (gone if reason is None else left).append(each)
        _say(f"removed {_line(each)}" if reason is None else f"kept {_line(each)}: {reason}")
    return gone, left


def _cache() -> QuantizedCache:
    from harness.models.source import cache_folder
    from harness.quantization.cache import QuantizedCache

    return QuantizedCache(cache_folder())


def _described(kept: Kept) -> tuple[str, str, str]:
    """(model, scheme, calibration) for a person."""
    if kept.entry is None:
        return f"damaged: {kept.damage}", "", ""
    title = kept.entry.title
    at = f"@{title.revision[:8]}" if title.revision else ""
    return title.model + at, title.scheme, title.calibration


def _line(kept: Kept) -> str:
    return " ".join(filter(None, (kept.key, *_described(kept), f"({_size(kept.bytes)})")))


def _as_json(kept: Kept) -> dict[str, Any]:
    entry = None if kept.entry is None else kept.entry.model_dump(mode="json")
    return {"key": kept.key, "bytes": kept.bytes, "used": kept.used.isoformat(), "damage": kept.damage, "entry": entry}


def _made(kept: Kept) -> str:
    return "" if kept.entry is None else _minute(kept.entry.cost.made)


def _minute(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="minutes")[:16]


def _size(size: int) -> str:
    from harness.quantities import quantity

    return quantity("quantization.disk_bytes").show(size)


def _say(text: str) -> None:
    from rich.console import Console

    Console().print(text, markup=False, highlight=False, soft_wrap=True)
