"""Sphinx's settings. Reference and strategies are made from the code, notebooks taken as is."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import reference  # noqa: E402 (beside this file)
import strategy_pages  # noqa: E402 (likewise)

project = "transfergrid"
author = "The transfergrid developers"
extensions = ["myst_nb"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # they are committed with their outputs, which a test holds true
html_theme = "furo"
html_title = "transfergrid"
exclude_patterns = ["_build"]


def copied(folder: Path) -> None:
    """Put the notebooks and the pages that live elsewhere where Sphinx finds them."""
    folder.mkdir(exist_ok=True)
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, folder / notebook.name)


copied(HERE / "notebooks")
reference.write(HERE / "reference")
strategy_pages.write(HERE / "strategies")
