"""What plans are told of gptqmodel's schemes before anything runs, held against the library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import job, scheme
from packed_models import tiny

from harness.errors import Unsupported
from harness.models.anatomy import Anatomy, Module
from harness.needs import Machine, ModelFacts
from harness.quantization.gptqmodel_library import NOT_LOADED_BACK, defined_model_types
from harness.quantization.packed_kernels import AWQ_KERNELS, GPTQ_KERNELS

ALL = ("awq-4bit", "gptq-2bit", "gptq-3bit", "gptq-4bit", "gptq-8bit", "rtn-2bit", "rtn-3bit", "rtn-4bit", "rtn-8bit")


def anatomy(in_features: int, out_features: int) -> Anatomy:
    """One matrix in a layer, one in a head, which is not quantized."""
    modules = (
        Module("model.layers.0.mlp.up_proj", "linear", in_features, out_features, part="ffn_in", layer=0),
        Module("lm_head", "linear", 7, 11),
        Module("score", "linear", 7, 2, in_head=True),
    )
    return Anatomy("llama", "decoder", in_features, 1, 0, 0, 0, "lm_head", modules)


@pytest.mark.parametrize("name", ALL)
def test_encoders_and_unknown_architectures_are_refused_with_the_reason(name: str) -> None:
    of = scheme(name)
    assert of.unsupported(ModelFacts("llama", "decoder")) is None
    assert "decoders alone; bert is a(n) encoder" in str(of.unsupported(ModelFacts("bert", "encoder")))
    assert "t5 is a(n) encoder-decoder" in str(of.unsupported(ModelFacts("t5", "encoder-decoder")))
    assert "no definition of xglm" in str(of.unsupported(ModelFacts("xglm", "decoder")))
    assert "quantized already (gptq)" in str(of.unsupported(ModelFacts("llama", "decoder", prequantized="gptq")))
    assert "gate_up_proj" in str(of.unsupported(ModelFacts("phi3", "decoder")))


def test_definitions_are_the_librarys() -> None:
    from gptqmodel.models.auto import SUPPORTED_MODELS

    assert defined_model_types() == set(SUPPORTED_MODELS)
    assert set(NOT_LOADED_BACK) <= defined_model_types()


@pytest.mark.parametrize(("method", "checkpoint", "kernels"), [("gptq", "gptq", GPTQ_KERNELS), ("awq", "gemm", AWQ_KERNELS)])
def test_kernels_are_the_librarys(method: str, checkpoint: str, kernels: dict[str, object]) -> None:
    from gptqmodel.models._const import DEVICE
    from gptqmodel.quantization import FORMAT, METHOD
    from gptqmodel.utils.importer import get_kernel_for_backend

    for name, kernel in kernels.items():
        cls = get_kernel_for_backend(name, METHOD(method), FORMAT(checkpoint))
        found = (
            tuple(bits for bits in cls.SUPPORTS_BITS if bits in (2, 3, 4, 8)), tuple(cls.SUPPORTS_GROUP_SIZE), cls.SUPPORTS_TRAINING,
            not {DEVICE.CPU, DEVICE.ALL} & set(cls.SUPPORTS_DEVICES), False not in cls.SUPPORTS_SYM,
        )  # fmt: skip
        assert found == (kernel.bits, kernel.group_sizes, kernel.trains, kernel.cuda, kernel.sym), name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("gptq-3bit", {"kernel": "marlin"}, "3 bits; it has 4, 8"),
        ("gptq-4bit", {"kernel": "exllama_v2", "group_size": 1024}, "group_size: 1024; it has -1, 32, 64, 128"),
        ("rtn-4bit", {"kernel": "marlin", "sym": False}, "symmetric"),
    ],
)
def test_what_a_kernel_has_no_code_for_is_refused(name: str, fields: dict[str, object], words: str) -> None:
    assert words in str(scheme(name, **fields).unsupported(None))


def test_kernels_for_cuda_are_refused_without() -> None:
    asked, any_device = scheme("gptq-4bit", kernel="marlin"), scheme("gptq-4bit", kernel="torch")
    assert asked.needed().unmet(Machine("cpu"), None) == "needs a CUDA device"
    assert asked.needed().unmet(Machine("cuda"), None) is None
    assert any_device.needed().unmet(Machine("cpu"), None) is None


def test_auto_takes_a_kernel_that_trains_where_something_is_tuned() -> None:
    of = scheme("gptq-4bit")
    chosen = {(device, tunes): of.loaded_for(device, tunes).kernel for device in ("cpu", "cuda") for tunes in (True, False)}  # type: ignore[attr-defined]
    assert chosen == {("cpu", True): "torch", ("cpu", False): "torch", ("cuda", True): "trainable", ("cuda", False): "fastest"}
    with pytest.raises(Unsupported, match="no gradients pass through kernel: marlin"):
        scheme("gptq-4bit", kernel="marlin").loaded_for("cuda", True)


@pytest.mark.parametrize(("fields", "sizes", "words"), [
    ({"group_size": 128}, (96, 64), "group_size: 128 does not divide the 96 weights of a row of model.layers.0.mlp.up_proj; 16, 32 would"),
    ({"group_size": -1}, (100, 64), "model.layers.0.mlp.up_proj has 100 inputs; gptqmodel packs and computes multiples of 32"),
    ({"group_size": 32}, (64, 40), "model.layers.0.mlp.up_proj has 40 outputs"),
])  # fmt: skip
def test_layers_that_do_not_fit_are_named(fields: dict[str, object], sizes: tuple[int, int], words: str) -> None:
    assert words in str(scheme("gptq-4bit", **fields).unfit(anatomy(*sizes)))
    assert scheme("gptq-4bit", **fields).unfit(anatomy(256, 64)) is None


def test_models_that_come_out_with_other_layers_are_refused_before_they_are_quantized(tmp_path: Path) -> None:
    """Whatever the table of architectures says."""
    made = job(tiny("phi3", tmp_path / "phi3"), tmp_path / "entry")
    with pytest.raises(Unsupported, match=r"mlp\.gate_proj"):
        scheme("rtn-4bit", group_size=32).quantize(made)  # type: ignore[attr-defined]
    assert list(made.folder.iterdir()) == []


@pytest.mark.slow
def test_importing_the_library_leaves_the_allocator_and_the_order_of_devices_as_they_are() -> None:
    code = "from harness.quantization.gptqmodel_library import prepare_import as p; p(); import os, gptqmodel; print(os.environ['PYTORCH_ALLOC_CONF'], os.environ['CUDA_DEVICE_ORDER'])"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUDA_DEVICE_ORDER")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "backend:native FASTEST_FIRST"


def test_plans_import_neither_torch_nor_the_library() -> None:
    code = (
        "import sys; from harness.quantization.base import SCHEMES; from harness.needs import ModelFacts\n"
        "SCHEMES.get('gptq-4bit')(scheme='gptq-4bit').unsupported(ModelFacts('llama', 'decoder'))\n"
        "print([name for name in ('torch', 'gptqmodel', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
