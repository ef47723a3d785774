"""What the layers of our tuner share: each belongs to one module of the model, and holds one part for each adapter name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from harness.methods.tuners.config import PeltConfig

if TYPE_CHECKING:
    from harness.methods.tuners.model import PeltModel


class PartLayer(nn.Module, BaseTunerLayer):
    """The parts of one module, whether they wrap it (PeltLayer) or live inside it.

    A subclass keeps its parts in `nn.ModuleDict`s by adapter name, called `pelt_...` and listed in adapter_layer_names.
    """

    adapter_layer_names: ClassVar[tuple[str, ...]] = ()

    def add(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None:
        """Makes the part for one adapter, on the device of the module.

        name: the module's, in full.
        """
        self._make(adapter_name, config, name, tuner)
        self._place(adapter_name)

    @abstractmethod
    def _make(self, adapter_name: str, config: PeltConfig, name: str, tuner: PeltModel) -> None: ...

    @abstractmethod
    def _place(self, adapter_name: str) -> None: ...

    def _own(self, of: str) -> list[str]:
        """Names of the active adapters that have a part in the dictionary `of`; none while adapters are off."""
        held = getattr(self, of)
        return [] if self.disable_adapters else [name for name in self.active_adapters if name in held]


class PeltLayer(PartLayer):
    """A wrapped module, which is opaque: any kind of linear, quantized or not, whose output is changed or read."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer

    def _place(self, adapter_name: str) -> None:
        self._move_adapter_to_device_of_base_layer(adapter_name)
