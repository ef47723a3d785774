"""Asking the hub: what may pass is tried again after a while, and a model's files are there, all of one commit, before any is read.

transformers takes an optional file that the hub fails to give for one that the repository does not have, and goes on without it: a
tokenizer without its settings, in silence. So all files are downloaded first, and what loads them finds a folder.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from harness.errors import HarnessError

WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # between tries; huggingface_hub asks for some things several times itself, for others once
PATIENCE_SECONDS = 120.0  # after which there is no further try
PASSING = {408, 425, 429}  # and all from 500 on
WEIGHTS = ("*.safetensors", "*.bin")
#: What no model of ours is loaded from: other libraries' weights, pictures, folders of other formats, a second copy of the weights.
NOT_LOADED = (
    "*/*", "*.h5", "*.msgpack", "*.onnx*", "*.ot", "*.pt", "*.pth", "*.gguf", "*.tflite", "*.ckpt", "*.npz", "*.zip", "*.tar*", "*.png", "*.jpg", "consolidated*",
)  # fmt: skip

Fetched = TypeVar("Fetched")


def patiently(what: str, fetch: Callable[[], Fetched]) -> Fetched:
    """What `fetch` downloads, tried again where the hub fails for a reason that may pass: too many requests, its own errors, a
    connection that breaks or says nothing, half a file.

    what: for messages. Raises HarnessError that says how often it was tried and what came last, and at once whatever else `fetch` raises.
    """
    begun = time.monotonic()
    for tries, wait in enumerate((*WAITS_SECONDS, None), 1):
        try:
            return fetch()
        except (OSError, _http_error()) as error:
            passing = next(_passing(error), None)
            if passing is None:
                raise
            reason = " ".join(f"{type(passing).__name__}: {passing}".partition("For more information")[0].split())[:300]
            seconds = time.monotonic() - begun
            if wait is None or seconds > PATIENCE_SECONDS:
                raise HarnessError(f"the hub does not give {what}: tried {tries} times in {seconds:.0f} s, last {reason}; repeat the command to go on") from error
        print(f"the hub does not give {what} ({reason}); trying again in {wait:g} s", flush=True)
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


@functools.cache
def settings(name: str, revision: str | None, trust_remote_code: bool) -> Path:
    """The folder with all of a hub model but its weights, of the commit that the revision stands for when this process asks first.

    Raises HarnessError where the hub fails, and what huggingface_hub raises for a name, revision or right that is missing.
    """
    folder = _downloaded(name, revision, (*NOT_LOADED, *WEIGHTS))
    if trust_remote_code:
        _downloaded(name, folder.name, (), "*.py")
    return folder


@functools.cache
def with_weights(name: str, revision: str | None, trust_remote_code: bool, allow_pickle: bool) -> Path:
    """The same folder with the weights beside the settings: those in safetensors; in pickles where there are no others and they are allowed."""
    folder = settings(name, revision, trust_remote_code)
    _downloaded(name, folder.name, NOT_LOADED, "*.safetensors")
    if allow_pickle and not any(folder.glob("*.safetensors")):
        _downloaded(name, folder.name, NOT_LOADED, "*.bin")
    return folder


def _downloaded(name: str, revision: str | None, ignored: tuple[str, ...], allowed: str | None = None) -> Path:
    """.../snapshots/<commit>, with every file of the repository that the patterns choose."""
    from huggingface_hub import snapshot_download

    return Path(patiently(name, lambda: snapshot_download(name, revision=revision, ignore_patterns=list(ignored), allow_patterns=allowed)))


def _http_error() -> type[Exception]:
    """The base of all that the hub's HTTP client raises; which client that is depends on the version of huggingface_hub."""
    from huggingface_hub.errors import HfHubHTTPError

    return next(base for base in HfHubHTTPError.__bases__ if base is not OSError)


def _passing(error: BaseException | None) -> Iterator[BaseException]:
    """Of an error and its causes, those that may be gone the next time."""
    from huggingface_hub.errors import HfHubHTTPError

    while error is not None:
        if isinstance(error, HfHubHTTPError):
            if error.response.status_code in PASSING or error.response.status_code >= 500:
                yield error
            return  # its cause is the same answer in the HTTP client's words
        if isinstance(error, _http_error()) or "Consistency check failed" in str(error):
            yield error
        error = error.__cause__ or error.__context__
