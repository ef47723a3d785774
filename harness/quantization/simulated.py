"""Scheme `simulated`: weights are rounded to a grid and stored as ordinary floats again.

It saves no memory. It is there because papers compare data types that no kernel offers (QLoRA, arXiv 2305.14314, table 2; AWQ,
arXiv 2306.00978, tables 1 and 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import model_validator

from harness.errors import HarnessError, Unsupported
from harness.fields import identity
from harness.models.anatomy import Anatomy
from harness.models.base import ModelConfig
from harness.quantization.base import SCHEMES, QuantizedLayer, StoredScheme
from harness.quantization.calibration import Calibration
from harness.quantization.grids import DataType, is_integer
from harness.quantization.rounding import Granularity, Rounding
from harness.quantization.salient import Salient
from harness.quantization.scaling import ScalingSearch

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from harness.quantization.activations import Inputs
    from harness.quantization.job import QuantizationJob

WEIGHTS = "simulated.safetensors"


@SCHEMES.register("simulated")
class Simulated(StoredScheme):
    """Quantize-dequantize of every linear layer behind the embeddings, on any grid.

    Its weights could be trained, but would leave the grid with the first step; so they count as quantized ones, which cannot.
    """

    kbit: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ("torch", "bitsandbytes")

    data_type: DataType = identity("nf4", description="the grid")
    granularity: Granularity = identity("per-group", description="which weights share a constant: all, an output channel's, or a group of these")
    group_size: int = identity(64, ge=1, description="for per-group: successive input channels that share a constant; must divide every layer's")
    sym: bool = identity(True, description="for integers: the same range on both sides of zero, without a zero point")
    double_quant: bool = identity(False, description="quantize the constants too, in 8-bit dynamic blocks of 256")
    skip_modules: list[str] = identity(
        default_factory=list, description="modules kept unquantized, by name or part of a dotted name; head and output embeddings always are"
    )
    salient: Salient | None = identity(None, description="keep some input channels of each layer unquantized; null: none")
    scaling_search: ScalingSearch | None = identity(None, description="scale input channels by their activations before rounding; null: no")
    calibration: Calibration | None = identity(None, description="the texts that salient by activation and scaling_search look at; null: none")

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Simulated:
        problems = [problem for wrong, problem in self._problems() if wrong]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[tuple[bool, str]]:
        given, per_group = self.model_fields_set, self.granularity == "per-group"
        yield "group_size" in given and not per_group, f"group_size has no meaning with granularity {self.granularity}"
        yield "sym" in given and not is_integer(self.data_type), f"sym is for integers; {self.data_type} is symmetric as it is"
        yield self.double_quant and self.granularity == "per-tensor", "double_quant needs more than the one constant of per-tensor"
        yield self.salient is not None and self.scaling_search is not None, "salient and scaling_search protect the same channels; give one"
        looks = self._looks_at_activations
        yield looks and self.calibration is None, "salient by activation and scaling_search need calibration"
        yield not looks and self.calibration is not None, "calibration is given, but only salient by activation and scaling_search look at it"

    @property
    def calibrated_on(self) -> Calibration | None:
        """See StoredScheme.calibrated_on."""
        return self.calibration

    def unfit(self, anatomy: Anatomy) -> str | None:
        """A skipped module that is not there, or a group that does not divide the inputs of a layer."""
        names = [module.name for module in anatomy.modules]
        for part in self.skip_modules:
            if not any(_within(name, part) for name in names):
                return f"skip_modules: {part!r} is no module of this model (one is {names[-1]})"
        for module in anatomy.modules:
            quantized = module.is_matrix and not module.in_head and module.name != anatomy.output and not self._skips(module.name)
            if quantized and self.granularity == "per-group" and module.in_features % self.group_size:
                return f"group_size {self.group_size} does not divide the {module.in_features} input channels of {module.name}"
        return None

    def quantize(self, job: QuantizationJob) -> None:
        """Writes the rounded weights alone, under their names in the base model. Raises Unsupported where the plan could not know better."""
        import torch
        from safetensors.torch import save_file

        from harness.models.dissect import anatomy_of
        from harness.models.load import head_modules
        from harness.quantization.activations import observe

        model = job.load()
        reason = self.unfit(anatomy_of(model, [] if model.get_output_embeddings() is not None else head_modules(model)))
        if reason is not None:
            raise Unsupported(reason)
        layers = dict(self._layers(model))
        rows = 0 if self.scaling_search is None else self.scaling_search.tokens
        seen = observe(model, layers, job.samples, rows) if self._looks_at_activations else {}
        generator = torch.Generator().manual_seed(0 if self.salient is None else self.salient.seed)
        with torch.no_grad():
            for name, layer in layers.items():
                weight = _matrix(layer)
                weight.copy_(self._rounded(weight, seen.get(name), generator))
        save_file({f"{name}.weight": layer.weight.detach() for name, layer in layers.items()}, job.folder / WEIGHTS)
        job.notes.extend(self._notes(layers, set(seen)))

    def stored_model(self, model: ModelConfig, folder: Path) -> ModelConfig:
        """The model itself: `restore` puts the rounded weights into it."""
        return model

    def restore(self, model: PreTrainedModel, folder: Path) -> None:
        """Copies the rounded weights in. Raises HarnessError where they are not this model's: none must stay as it was."""
        import torch
        from safetensors import safe_open

        weights = {f"{name}.weight": layer.weight for name, layer in self._layers(model)}
        with safe_open(folder / WEIGHTS, framework="pt") as stored, torch.no_grad():
            different = sorted(weights.keys() ^ set(stored.keys()))
            if different:
                raise HarnessError(f"{folder / WEIGHTS} holds other weights than the model's: {', '.join(different[:5])} of {len(different)}")
            for name, weight in weights.items():
                rounded = stored.get_tensor(name)
                if (rounded.shape, rounded.dtype) != (weight.shape, weight.dtype):
                    found, wanted = (f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in (rounded, weight))
                    raise HarnessError(f"{folder / WEIGHTS}: {name} is {found}; the model's is {wanted}")
                weight.copy_(rounded)

    def quantized_layers(self, model: Any) -> Iterator[QuantizedLayer]:
        """The rounded layers with the bytes that they really take: those of ordinary floats."""
        prefix = _base_prefix(model)
        for name, layer in self._layers(model):
            yield QuantizedLayer(prefix + name, layer.weight.numel(), layer.weight.nbytes, type(layer).__name__)

    def dequantized(self, model: PreTrainedModel) -> PreTrainedModel:
        """The model itself: its layers are ordinary ones."""
        return model

    @property
    def _looks_at_activations(self) -> bool:
        return self.scaling_search is not None or (self.salient is not None and self.salient.select == "activation")

    @property
    def _rounding(self) -> Rounding:
        return Rounding(self.data_type, self.granularity, self.group_size, self.sym, self.double_quant)

    def _skips(self, name: str) -> bool:
        return any(_within(name, part) for part in self.skip_modules)

    def _layers(self, model: Any) -> Iterator[tuple[str, Any]]:
        """The layers to be rounded, each weight once, by their names in the base model."""
        import torch
        from transformers.pytorch_utils import Conv1D

        output, prefix = model.get_output_embeddings(), _base_prefix(model)
        if output is None and not prefix:
            raise Unsupported(f"{type(model).__name__} keeps its task head in its base model, where it cannot be told from what is to be quantized")
        done = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding) or module is output}
        for name, module in model.base_model.named_modules():
            if isinstance(module, torch.nn.Linear | Conv1D) and id(module.weight) not in done and not self._skips(prefix + name):
                done.add(id(module.weight))
                yield name, module

    def _rounded(self, weight: torch.Tensor, inputs: Inputs | None, generator: torch.Generator) -> torch.Tensor:
        """The rounded matrix, float32. inputs: None where nothing looks at activations, or no sample reached the layer."""
        if self.scaling_search is not None and inputs is not None:
            return self.scaling_search.rounded(weight, self._rounding, inputs)
        rounded = self._rounding(weight)
        if self.salient is not None and (inputs is not None or self.salient.select != "activation"):
            channels = self.salient.channels(weight, None if inputs is None else inputs.magnitude, generator).to(weight.device)
            rounded[:, channels] = weight[:, channels].float()
        return rounded

    def _notes(self, layers: dict[str, Any], seen: set[str]) -> Iterator[str]:
        """What the record must tell: that nothing is saved, what the grid would take, and layers that calibration has missed."""
        sizes = [tuple(_matrix(layer).shape) for layer in layers.values()]
        total = sum(rows * columns for rows, columns in sizes)
        stored = sum(self._bits(rows, columns) * rows * columns for rows, columns in sizes)
        yield f"simulated: no memory is saved; {self.data_type} weights as these would take {stored / total:.3f} bits each, constants included"
        missed = sorted(set(layers) - seen) if self._looks_at_activations else []
        if missed:
            yield f"simulated: no calibration sample reached {', '.join(missed[:5])} ({len(missed)} layers): rounded without looking at activations"

    def _bits(self, out_features: int, in_features: int) -> float:
        """Bits per weight of one matrix, kept channels at 16."""
        kept = 0 if self.salient is None else self.salient.kept(in_features)
        return self._rounding.bits_per_weight(out_features, in_features) + 16 * kept / in_features


def _base_prefix(model: Any) -> str:
    """What names in the base model have before them in the whole model."""
    return "" if model.base_model is model else f"{model.base_model_prefix}."


def _within(name: str, part: str) -> bool:
    return f".{part}." in f".{name}."


def _matrix(layer: Any) -> torch.Tensor:
    """The layer's weight as (out_features, in_features), a view; transformers' Conv1D holds it the other way round."""
    from transformers.pytorch_utils import Conv1D

    weight: torch.Tensor = layer.weight.detach()
    return weight.T if isinstance(layer, Conv1D) else weight
