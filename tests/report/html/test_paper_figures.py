"""Figures for a paper."""

import csv
import re
import struct
from dataclasses import replace

import pytest
from made_report import ATTACK, small_report, verdict

from transfergrid.records.errors import BadInputError
from transfergrid.report.html.figures import figures, write_figures
from transfergrid.report.html.page import page


def test_every_figure_comes_as_svg_png_and_csv(tmp_path):
    data = small_report(verdicts=small_report().verdicts[:5])
    files = write_figures(data, tmp_path / "new" / "figures")
    kinds = {path.suffix for path in files}
    assert kinds == {".svg", ".png", ".csv"}
    assert len(files) == 3 * len({path.stem for path in files})
    heat = next(path for path in files if path.name == "heatmap_pets_20.svg").read_text()
    assert heat.startswith("<svg")
    assert "▲ +6.0" in heat
    wide = (tmp_path / "new/figures/gains_pets_20.png").read_bytes()
    assert struct.unpack(">I", wide[16:20])[0] >= 990, "3.3 inches at 300 to the inch"


def test_the_csv_holds_the_numbers_behind_the_figure(tmp_path):
    data = small_report(verdicts=(verdict(gain=6.0), verdict("insects", gain=-3.0)))
    write_figures(data, tmp_path)
    with (tmp_path / "gains_pets_20.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["source"], float(row["gain"])) for row in rows] == [
        ("birds", 6.0),
        ("insects", -3.0),
    ]
    assert rows[0]["cells"].split() == list(data.verdicts[0].cells)


def test_the_band_is_of_the_target_s_own_margin():
    pets = verdict(margin=1.0)
    flowers = verdict(target="flowers", margin=3.0)
    beside = replace(flowers, labels=5)
    prices = replace(pets, target="prices", margin=0.05, point=0.05, gain=0.3, low=0.2, high=0.4)
    data = small_report(verdicts=(pets, flowers, beside, prices))
    assert data.margin == "1 (flowers 3)", "a point of prices is 0.05"
    assert "The grey band is ±1 (flowers 3) points" in page(data)
    drawn = {figure.name: figure.svg() for figure in figures(data)}
    for name, margin in {"pets": 1, "prices": 1, "flowers": 3}.items():
        svg = drawn[f"gains_{name}_20"]
        assert f"grey band: ±{margin} points" in svg
        (begins,) = re.findall(r"for a linear scale with values from −(\d+)", svg)
        assert int(begins) == margin, "no gain is below 0: the axis begins where the band does"
    assert "grey band: ±3 points" in drawn["labels_flowers_full_finetuning"]


def test_names_make_no_path_and_no_markup():
    names = [
        figure.name for figure in figures(small_report(verdicts=(verdict(target="../" + ATTACK),)))
    ]
    assert names
    assert all("/" not in name and "<" not in name for name in names)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write"):
        write_figures(small_report(), tmp_path / "file")
