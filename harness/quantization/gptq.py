"""GPTQ (Frantar et al. 2022, arXiv 2210.17323) through gptqmodel."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from harness.fields import identity
from harness.quantization.base import SCHEMES, CalibratedScheme
from harness.quantization.rtn import GptqFormat


@SCHEMES.register("gptq-2bit", "gptq-3bit", "gptq-4bit", "gptq-8bit")
class Gptq(GptqFormat, CalibratedScheme):
    """Column after column is rounded, and what that does to the layer's outputs is made up for in the columns not rounded yet.

    Second-order, by the Hessian of the layer's squared output error on calibration texts. Source: arXiv 2210.17323, sec. 3.
    """

    desc_act: bool = identity(False, description="act-order: columns with the largest activations first; groups are then no neighbours any more")
    act_group_aware: bool = identity(False, description="act-order within what groups allow (gptqmodel's GAR): groups stay neighbours")
    static_groups: bool = identity(False, description="scales of all groups are found before the first column is rounded")
    damp_percent: float = identity(0.01, gt=0, lt=1, description="share of the Hessian's mean diagonal that is added to its diagonal")
    mse: float = identity(0.0, ge=0, description="search each group's range for the least error to this power; 0: the range of its weights")
    true_sequential: bool = identity(True, description="parts of a layer are quantized one after the other, each behind the quantized ones before it")

    @model_validator(mode="after")
    def _one_order(self) -> Gptq:
        if self.desc_act and self.act_group_aware:
            raise ValueError("desc_act and act_group_aware are two orders of the same columns: one of them, please")
        if self.act_group_aware and self.group_size == -1:
            raise ValueError("act_group_aware orders columns within groups; with group_size: -1 there are none (desc_act orders whole rows)")
        return self

    def packing_config(self) -> Any:
        """gptqmodel's GPTQConfig."""
        from gptqmodel.quantization.config import GPTQConfig

        return GPTQConfig(
            bits=self.bits,
            group_size=self.group_size,
            sym=self.sym,
            desc_act=self.desc_act,
            act_group_aware=self.act_group_aware,
            static_groups=self.static_groups,
            damp_percent=self.damp_percent,
            mse=self.mse,
            true_sequential=self.true_sequential,
            offload_to_disk=False,
        )
