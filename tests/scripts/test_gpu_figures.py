"""The figures of a GPU: what the script refuses, and how a profile is added up. No GPU needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.gpu_profile import kernel_class, summarise
from tests.conftest import ROOT

SCRIPT = ROOT / "scripts" / "gpu_figures.sh"
# In place of Python: a GPU that is there, one step that fails, and a figure of each other.
PYTHON = f"""#!/usr/bin/env bash
case "$*" in
    "-m scripts.gpu_ceilings") echo "NVIDIA H100 80GB HBM3";;
    *gpu_profile*) echo "out of luck"; exit 3;;
    -\\ *) exec {sys.executable} "$@";;
    *) while [ "$1" != --out ]; do shift; done; echo '{{"rate": 1}}' > "$2"; echo "$*" >> "$LOG";;
esac
"""


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **environment},
    )


@pytest.mark.parametrize(
    ("steps", "status", "said"),
    [
        ([], 1, "torch sees no CUDA GPU: run this on a machine with an H100 or H200"),
        (["speed"], 2, "no step speed; there are ceilings numerics eager"),
    ],
)
def test_it_refuses_before_anything_is_written(
    tmp_path: Path, steps: list[str], status: int, said: str
) -> None:
    result = run(tmp_path / "out", *steps, CUDA_VISIBLE_DEVICES="")
    assert result.returncode == status and said in result.stderr
    assert not (tmp_path / "out").exists()
    assert run().returncode == 2


def test_a_step_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(PYTHON)
    stand_in.chmod(0o755)
    environment = {"PYTHON": str(stand_in), "LOG": str(tmp_path / "log")}
    for _ in range(2):  # the second time only what failed is tried again
        result = run(tmp_path / "out", "ceilings", "profile", "large", **environment)
        assert result.returncode == 1 and "error: failed: profile" in result.stderr
        assert "out of luck" in result.stderr
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert figures["gpu"] == "NVIDIA H100 80GB HBM3" and figures["failed"] == ["profile"]
    assert figures["steps"] == {"ceilings": {"rate": 1}, "large": {"rate": 1}}
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_a_profile_is_added_up_by_class() -> None:
    kernels = [
        ("sm90_xmma_gemm_bf16", 0.0, 600.0),
        ("void flash_fwd_kernel", 600.0, 700.0),
        ("triton_poi_fused_add", 800.0, 900.0),
        ("triton_poi_fused_add", 900.0, 1000.0),
    ]
    found = summarise(kernels)
    assert found["step_ms"] == 1.0 and found["idle_percent"] == pytest.approx(10)
    assert found["classes"]["products"] == {"ms": 0.6, "kernels": 1}
    assert found["classes"]["fused"]["kernels"] == 2
    assert list(found["longest"])[0] == "sm90_xmma_gemm_bf16"
    assert kernel_class("something_new") == "other"
