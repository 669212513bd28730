"""The shared data set to be changed."""

import shutil
from pathlib import Path

import pytest

from data_recipes.common.config_files import read_yaml
from data_recipes.prepare.config import DataConfig


@pytest.fixture
def data_copy(data_dir: Path, tmp_path: Path) -> DataConfig:
    """Config of a copy, in a directory of its own."""
    output = shutil.copytree(data_dir, tmp_path / "data")
    recipe = read_yaml(output / "recipe.yaml")
    return DataConfig.model_validate(recipe | {"output_dir": str(output)})
