"""A suite's entry for a model: where it comes from and how it is loaded. Plain values, no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from harness.errors import RequestError
from harness.fields import Config, identity

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class ModelConfig(Config):
    """One model of a suite."""

    source: str = identity(description="hub:<owner>/<name>, path:<folder>, micro:<name> or random:<shape>")
    revision: str | None = identity(None, description="hub revision: branch, tag or commit; null: the default branch")
    dtype: Dtype = identity("auto", description="dtype of the weights that are not quantized; auto: as the checkpoint stores them")
    attn_implementation: str | None = identity(None, description="transformers' attn_implementation: eager, sdpa, flash_attention_2, ...")
    trust_remote_code: bool = identity(False, description="run Python code that the model's repository carries")
    allow_pickle: bool = identity(False, description="load weights from pickle files (.bin); otherwise safetensors only")

    @model_validator(mode="after")
    def _code_of_others_is_asked_for(self) -> ModelConfig:
        """transformers takes a name with a slash for a repository of kernels on the hub, and runs what is in it."""
        if "/" in (self.attn_implementation or "") and not self.trust_remote_code:
            raise ValueError(f"attn_implementation {self.attn_implementation!r} is code from the hub; set trust_remote_code: true if you trust its author")
        return self

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, source: str) -> str:
        """A wrong source is told with the suite's other errors, not when the plan comes to look for it."""
        from harness.micro import model_path
        from harness.models.source import split

        try:
            kind, name = split(source)
            if kind == "micro":
                model_path(name)
        except RequestError as error:
            raise ValueError(str(error)) from error
        return source
