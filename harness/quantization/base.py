"""What a scheme is: how a model's weights are stored, and what that needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.fields import Config, identity, later
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.needs import ModelFacts, Needs
from harness.quantization.calibration import Calibration
from harness.registry import Registry

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from harness.quantization.job import QuantizationJob

SCHEMES: Registry[Scheme]

Order = Literal["quantize-then-tune", "tune-then-quantize"]


@dataclass(frozen=True)
class QuantizedLayer:
    """One layer of a loaded model as it is stored. bytes: of its packed weights and their constants, bias not counted.
    kernel: name of the class that computes its products."""

    name: str
    weights: int
    bytes: int
    kernel: str


class Scheme(Config):
    """One way of storing weights. A subclass declares its fields, registers itself, and says how to load.

    quantizes: whether weights are stored in fewer bits. tunable_weights: whether the stored weights can be
    trained themselves (full tuning). kbit: whether peft.prepare_model_for_kbit_training is due before training.
    rounds_activations: whether products are taken with rounded activations, so that the same function in another way
    (with a cache, padded) is not the same to the last digits.
    """

    scheme: str = identity(description="the scheme's registered name")

    needs: ClassVar[Needs] = Needs()
    quantizes: ClassVar[bool] = True
    tunable_weights: ClassVar[bool] = False
    kbit: ClassVar[bool] = True
    rounds_activations: ClassVar[bool] = False

    def needed(self) -> Needs:
        """What this entry needs: what its class does, and what its own fields ask for beyond that."""
        return self.needs

    @property
    def after_tuning(self) -> bool:
        """Whether the model is tuned first, its weights unquantized, and quantized then."""
        return False

    @property
    def while_tuning(self) -> Scheme:
        """How weights are stored while the method tunes: as this scheme says, or not quantized yet."""
        return _unquantized() if self.after_tuning else self

    def loaded_for(self, device: str, tunes: bool) -> Scheme:
        """This scheme as it is loaded on a device (`cpu`, `cuda`), for a method that tunes or for evaluation alone: its kernels may differ.

        By default itself. Raises Unsupported where the kernel that was asked for serves one of them only.
        """
        return self

    def for_checkpoint(self, stored_as: str | None) -> Scheme:
        """The scheme that loads a checkpoint. stored_as: how its config.json says that it is quantized (quant_method); None: it is not. By default itself."""
        return self

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """Why this scheme cannot store that model, or None. Called by the plan, without torch."""
        return None

    def unfit(self, anatomy: Anatomy) -> str | None:
        """Why it cannot store a model of these sizes (a group that does not divide a row), or None. Called by the plan."""
        return None

    def local_files(self) -> list[Path]:
        """Files whose content decides how weights come out. Raises DataError for what cannot be read."""
        return []

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any | None:
        """What from_pretrained gets as `quantization_config`; None where the weights are loaded as they are.

        dtype: of the weights outside the quantized layers. head: modules behind the base model (task head or
        output embeddings), which have no trained weights yet or are too sensitive, and are usually kept.
        """
        raise NotImplementedError

    def caution(self, device: str, dtype: torch.dtype) -> str | None:
        """What the record must tell of the library's kernels on that device for activations of that dtype; None: nothing."""
        return None

    def settle(self, model: PreTrainedModel) -> None:
        """Called once with the loaded model: what the scheme still has to put right. By default nothing."""

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """The layers of a loaded model whose weights this scheme has quantized, as they are stored."""
        raise NotImplementedError

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """The loaded model with ordinary layers in place of the quantized ones, their weights at the values that the
        quantized ones stand for, in the model's dtype. May change the model given."""
        raise NotImplementedError


class QuantizingScheme(Scheme):
    """A scheme that makes quantized weights out of unquantized ones: before tuning, or after it."""

    order: Order = later(
        "quantize-then-tune", description="tune on quantized weights, or tune the unquantized model, merge what was tuned, and quantize then"
    )

    @property
    def after_tuning(self) -> bool:
        """See Scheme.after_tuning."""
        return self.order == "tune-then-quantize"

    def unsupported(self, model: ModelFacts | None) -> str | None:
        """A checkpoint that is quantized already cannot be quantized again."""
        if model is not None and model.prequantized is not None:
            return f"the checkpoint is quantized already ({model.prequantized}): its scheme is `prequantized`"
        return None


class StoredScheme(QuantizingScheme):
    """A scheme whose weights are quantized once, kept on disk, and loaded from there by every cell.

    libraries: packages whose versions decide how the weights come out; another version quantizes anew. recipe: raised whenever
    the scheme's own code comes to write other weights for the same fields. loading_fields: those that decide only how the stored
    weights are loaded (a kernel), so that cells which differ in them share what is stored.
    """

    libraries: ClassVar[tuple[str, ...]] = ()
    recipe: ClassVar[int] = 1
    loading_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def calibrated_on(self) -> Calibration | None:
        """The texts that it looks at while quantizing; None where it looks at the weights alone."""
        return None

    def local_files(self) -> list[Path]:
        """See Scheme.local_files."""
        return [] if self.calibrated_on is None else self.calibrated_on.local_files()

    def quantize(self, job: QuantizationJob) -> None:
        """Quantizes the job's model and writes to its folder what loading takes: a checkpoint, or weights for `restore`."""
        raise NotImplementedError

    def stored_model(self, model: ModelConfig, folder: Path) -> ModelConfig:
        """What is loaded in the model's place, `folder` being what `quantize` has filled. By default the checkpoint in it."""
        return model.model_copy(update={"source": f"path:{folder}", "revision": None})

    def restore(self, model: PreTrainedModel, folder: Path) -> None:
        """Called with the loaded model: puts what `quantize` has written in the place of its weights. By default nothing."""

    def quantization_config(self, dtype: torch.dtype, head: list[str]) -> Any | None:
        """None: a quantized checkpoint says by itself how it is stored."""
        return None


class CalibratedScheme(StoredScheme):
    """A stored scheme that looks at activations while it quantizes."""

    calibration: Calibration = identity(default_factory=Calibration, description="the texts that it looks at")

    @property
    def calibrated_on(self) -> Calibration | None:
        """See StoredScheme.calibrated_on."""
        return self.calibration


@cache
def _unquantized() -> Scheme:
    return SCHEMES.get("none")(scheme="none")


SCHEMES = Registry("scheme", "harness.quantization", "harness.schemes")
