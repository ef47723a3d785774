"""A third party's extension of the harness: a method that fails in every way a process can, a scheme
that stores what it rounds, and a task that counts.

It lies outside of the package and is found through its entry points alone, as a distribution that is installed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from harness.errors import Diverged, Unsupported
from harness.fields import identity, runtime
from harness.methods.base import Attachment, Method
from harness.models.sizes import stored_bytes
from harness.needs import ModelFacts
from harness.quantization.base import CalibratedScheme, QuantizedLayer
from harness.quantization.job import QuantizationJob
from harness.records.schema import Metric
from harness.tasks.base import Head, Task, TaskContext

Fault = Literal[
    "nothing", "segfault", "kill", "exit", "exit-silently", "abort", "petabyte", "memory-error", "cuda-oom", "error", "ansi",
    "unsupported", "diverged", "sleep", "stubborn", "shout", "grandchild", "daemon", "loader", "recursion", "disk-full", "hog", "tell", "undetermined", "second-time", "third-time",
]  # fmt: skip


class Drill(Method):
    """Does `fault` when it is attached."""

    fault: Fault = identity("nothing", description="what happens")
    traces: str | None = runtime(None, description="folder where a grandchild leaves its pid, and attempts a line each")

    tunes: ClassVar[bool] = False

    def attach(self, model: Any, attachment: Attachment) -> Any:
        """The same model, if it comes to that."""
        attachment.notes.append("the drill has begun")
        getattr(self, "_" + self.fault.replace("-", "_"))()
        return model

    def _nothing(self) -> None:
        pass

    def _segfault(self) -> None:
        print("about to fall", flush=False)
        ctypes.string_at(0)

    def _kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _exit(self) -> None:
        sys.exit(3)

    def _exit_silently(self) -> None:
        os._exit(4)

    def _abort(self) -> None:
        os.abort()

    def _petabyte(self) -> None:
        import torch

        torch.empty(10**15)

    def _undetermined(self) -> None:
        import torch

        torch.zeros(2).put_(torch.tensor([1]), torch.tensor([1.0]))  # torch knows no deterministic form of it

    def _second_time(self) -> None:
        self._fail_before(2)

    def _third_time(self) -> None:
        self._fail_before(3)

    def _fail_before(self, attempt: int) -> None:
        assert self.traces is not None
        with open(os.path.join(self.traces, self.fault), "a+") as file:
            file.write("tried\n")
            file.seek(0)
            attempts = len(file.readlines())
        if attempts < attempt:
            raise ConnectionError(f"attempt {attempts}: no answer")

    def _memory_error(self) -> None:
        raise MemoryError

    def _cuda_oom(self) -> None:
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total capacity of 8 GiB")

    def _error(self) -> None:
        raise ValueError("a plug was pulled\nand a second line")

    def _ansi(self) -> None:
        raise KeyError("\x1b[31mred\x1b[0m")

    def _tell(self) -> None:
        # what a careless library does: prints its environment, and puts an address with a password into its exception
        told = {name: value for name, value in os.environ.items() if "TOKEN" in name or "KEY" in name or "PROXY" in name}
        print(told, flush=True)
        os.write(2, repr(told).encode() + b"\n")
        raise ConnectionError(f"401 Client Error for https://user:{os.environ.get('WANDB_API_KEY')}@host/api?token={os.environ.get('HF_TOKEN')}")

    def _unsupported(self) -> None:
        raise Unsupported("not on a Sunday")

    def _diverged(self) -> None:
        raise Diverged("loss is nan at step 7")

    def _sleep(self) -> None:
        time.sleep(1000)

    def _stubborn(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1000)

    def _shout(self) -> None:
        for _ in range(10 * 1024):
            os.write(1, b"x" * 1023 + b"\n")

    def _grandchild(self) -> None:
        self._leave(subprocess.Popen(["sleep", "1000"]).pid)

    def _daemon(self) -> None:
        # two forks and a session of its own: what a daemon does to get away
        if (child := os.fork()) == 0:
            os.setsid()
            if (daemon := os.fork()) != 0:
                self._leave(daemon)
                os._exit(0)
            os.execvp("sleep", ["sleep", "1000"])
        os.waitpid(child, 0)

    def _loader(self) -> None:
        # what a DataLoader with workers does; by any other method its workers import everything again
        assert multiprocessing.get_start_method() == "fork"
        worker = multiprocessing.Process(target=int)
        worker.start()
        worker.join()
        assert worker.exitcode == 0

    def _recursion(self) -> None:
        self._recursion()

    def _disk_full(self) -> None:
        with open("/dev/full", "w") as full:
            full.write("x")

    def _hog(self) -> None:
        blocks = []
        while True:
            blocks.append(b"x" * 2**26)

    def _leave(self, pid: int) -> None:
        assert self.traces is not None
        with open(os.path.join(self.traces, self.fault), "w") as file:
            file.write(str(pid))


class Rounded(CalibratedScheme):
    """Rounds every linear layer's weights to `digits` decimal digits, and leaves a line in a ledger when it does."""

    loading_fields: ClassVar[tuple[str, ...]] = ("kernel",)

    digits: int = identity(1, description="decimal digits that are kept")
    kernel: str = identity("plain", description="asked for when the weights are loaded")
    ledger: str | None = runtime(None, description="file that gets a line at every quantization")
    seconds: float = runtime(0.0, description="how long it takes")
    fault: Literal["nothing", "kill"] = runtime("nothing", description="what happens when half of it is written")
    ballast_bytes: int = runtime(0, description="bytes of a further file")

    def quantize(self, job: QuantizationJob) -> None:
        """Writes the checkpoint of the rounded model."""
        import torch

        model = job.load()
        with torch.no_grad():
            for layer in self._layers(model).values():
                layer.weight.copy_(layer.weight.round(decimals=self.digits))
        model.save_pretrained(job.folder)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        (job.folder / "ballast").write_bytes(bytes(self.ballast_bytes))
        job.notes.append("rounding was noted")
        time.sleep(self.seconds)
        if self.ledger is not None:
            with open(self.ledger, "a") as file:
                file.write(f"{len(job.samples)} samples\n")

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """The linear layers, stored as they were."""
        for name, layer in self._layers(model).items():
            yield QuantizedLayer(name, layer.weight.numel(), stored_bytes(layer.weight), type(layer).__name__)

    def dequantized(self, model: Any) -> Any:
        """What is rounded is stored in ordinary layers."""
        return model

    def _layers(self, model: Any) -> dict[str, Any]:
        import torch

        return {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}


class Counting(Task):
    """Evaluates to 0.5 and leaves a line in a ledger, so that a test knows how often which cell ran."""

    name: str = identity("", description="makes cells different")
    ledger: str | None = runtime(None, description="file that gets a line with `name` at every evaluation")
    seconds: float = runtime(0.0, description="how long an evaluation takes")

    trainable: ClassVar[bool] = False

    def head(self, model: ModelFacts) -> Head:
        """A language model."""
        return Head("causal-lm")

    def evaluate(self, model: Any, context: TaskContext) -> list[Metric]:
        """One number."""
        if self.ledger is not None:
            with open(self.ledger, "a") as file:
                file.write(f"{self.name} begun\n")
        deadline = time.monotonic() + self.seconds
        for done in range(10):
            context.progress(done, 10)
            time.sleep(max(0.0, deadline - time.monotonic()) / (10 - done))
        if self.ledger is not None:
            with open(self.ledger, "a") as file:
                file.write(f"{self.name} done\n")
        return [Metric(name="accuracy", value=0.5, n=2, higher_is_better=True, split="test", protocol="counting/1")]
