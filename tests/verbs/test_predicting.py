"""A kept model says of the test split what its cell recorded, in the ledger, exported and moved."""

import csv
import io
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from kept_cells import made
from transfergrid.data.examples import ArrayExamples
from transfergrid.data.opened import OpenDomain
from transfergrid.records.errors import BadInputError
from transfergrid.runs.models import load_model
from transfergrid.verbs import new_examples, predicting
from transfergrid.verbs.cli import main
from transfergrid.verbs.exporting import export

STRATEGIES = ("full_finetuning", "domain_adversarial", "distillation", "logistic_regression")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return made(tmp_path_factory.mktemp("kept"), *STRATEGIES, "majority")


def said(folder, description, images):
    """Return what a model says of images (n, H, W, C)."""
    labels = np.zeros(len(images), dtype=np.int64)
    chunk = new_examples.Chunk((), [], ArrayExamples(images, labels))
    return np.array(predicting.probabilities_of(load_model(folder, description), chunk))


@pytest.mark.parametrize("name", [*STRATEGIES, "majority"])
@pytest.mark.parametrize("exported", [False, True])
def test_the_loaded_model_equals_the_recorded_predictions(kept, tmp_path, name, exported):
    ledger, records = kept
    record, place = records[name], records[name].id
    if exported:
        export(ledger, record.id, tmp_path / "made")
        place = str((tmp_path / "made").rename(tmp_path / "moved"))
    folder, description = predicting.described(place, str(ledger.root))
    test = OpenDomain(record.config["target"]).examples("test")
    images = test.read(np.arange(len(test)))
    recorded = ledger.predictions(record.id).probabilities
    np.testing.assert_allclose(said(folder, description, images), recorded, atol=1e-6)


@pytest.fixture(scope="module")
def folder(kept, tmp_path_factory):
    """An exported model, away from ledger and source."""
    ledger, records = kept
    place = tmp_path_factory.mktemp("elsewhere") / "model"
    export(ledger, records["full_finetuning"].id, place)
    return place


def photos(folder, n=3):
    rng = np.random.default_rng(0)
    (folder / "more").mkdir(parents=True)
    for i in range(n):
        pixels = rng.integers(0, 255, (8 + i, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("more" if i else ".") / f"{i}.png")


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_images_and_folders_of_images_as_csv(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "photos")
    assert predicting.command([str(folder), "photos", "photos/0.png"]) == 0
    shown = rows(capsys.readouterr().out)
    assert [row["file"] for row in shown] == [
        *("photos/0.png", "photos/more/1.png", "photos/more/2.png"),
        "photos/0.png",
    ]
    assert shown[0] == shown[3]
    for row in shown:
        chances = {k.removeprefix("p_"): float(v) for k, v in row.items() if k.startswith("p_")}
        assert list(chances) == list("0123456789")
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(chances, key=chances.get)


def test_chunks_do_not_move_what_is_said(folder, tmp_path, monkeypatch, capsys):
    photos(tmp_path / "photos")
    predicting.command([str(folder), str(tmp_path / "photos")])
    at_once = rows(capsys.readouterr().out)
    monkeypatch.setattr(new_examples.chunked, "__defaults__", (1,))
    predicting.command([str(folder), str(tmp_path / "photos"), "-o", str(tmp_path / "out.csv")])
    one_by_one = rows((tmp_path / "out.csv").read_text())
    for one, other in zip(at_once, one_by_one, strict=True):
        for key, value in one.items():
            if key.startswith("p_"):
                assert float(other[key]) == pytest.approx(float(value), abs=1e-6)
            else:
                assert other[key] == value


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, arguments)])
    shown = capsys.readouterr()
    assert (left.value.code, shown.out) == (2, "")
    (line,) = shown.err.splitlines()
    return line


def test_a_broken_image_among_sound_ones_writes_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(new_examples.chunked, "__defaults__", (1,))
    photos(tmp_path / "photos")
    (tmp_path / "photos" / "z.png").write_text("no image")
    out = tmp_path / "out.csv"
    assert "z.png" in refused([folder, tmp_path / "photos", "-o", out], capsys)
    assert "z.png" in refused([folder, tmp_path / "photos"], capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (["nowhere.png"], "no such file or folder: nowhere.png"),
        (["empty"], "empty holds no images"),
        (["0.png", "--text", "review"], "this model takes images"),
        (["0.png", "-o", "no/such/folder.csv"], "cannot write no/such/folder.csv"),
        ([], "required"),
    ],
)
def test_bad_input(folder, tmp_path, monkeypatch, capsys, files, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    photos(tmp_path / "photos", n=1)
    (tmp_path / "photos" / "0.png").rename(tmp_path / "0.png")
    (tmp_path / "empty").mkdir()
    assert told in refused([folder, *files], capsys)


def test_models_that_are_not_there(kept, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    ledger, records = kept
    identity = records["majority"].id
    results = ["--results", ledger.root]
    near = ("0" if identity[0] != "0" else "1") + identity[1:]
    assert f"did you mean {identity}" in refused([near, "x.png", *results], capsys)
    assert "no cell's id" in refused(["abc", "x.png", *results], capsys)
    assert "no cell's id" in refused(["full_finetuning", "x.png", *results], capsys)
    assert "no results in 'nowhere'" in refused([identity, "x", "--results", "nowhere"], capsys)
    assert "holds no config.json" in refused([tmp_path, "x.png"], capsys)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("config.json", "{", "is no exported model"),
        ("config.json", "{}", "is no exported model: format: Field required"),
        ("classes.json", "5", "is no exported model"),
        ("model.safetensors", "x", "damaged"),
        ("model.safetensors", None, "holds no model.safetensors"),
    ],
)
def test_exported_folders_that_are_damaged(folder, tmp_path, file, text, told):
    broken = shutil.copytree(folder, tmp_path / "broken")
    if text is None:
        (broken / file).unlink()
    else:
        (broken / file).write_text(text)
    photos(tmp_path / "photos", n=1)
    with pytest.raises(BadInputError, match=told):
        predicting.command([str(broken), str(tmp_path / "photos")])


def test_a_folder_from_a_stranger_calls_nothing_but_parts_of_models(folder, tmp_path):
    evil = shutil.copytree(folder, tmp_path / "evil")
    config = json.loads((evil / "config.json").read_text())
    config["training"] = {"_target_": "os.mkdir", "path": str(tmp_path / "harm")}
    (evil / "config.json").write_text(json.dumps(config))
    photos(tmp_path / "photos", n=1)
    with pytest.raises(
        BadInputError, match=r"training\._target_ names os\.mkdir, no part of transfergrid"
    ):
        predicting.command([str(evil), str(tmp_path / "photos")])
    assert not (tmp_path / "harm").exists()


def test_weights_of_another_model(folder, kept, tmp_path):
    ledger, records = kept
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    other = ledger.folder(records["majority"].id) / "model" / "model.safetensors"
    shutil.copyfile(other, mixed / "model.safetensors")
    photos(tmp_path / "photos", n=1)
    with pytest.raises(BadInputError, match="does not fit its cell: it lacks backbone"):
        predicting.command([str(mixed), str(tmp_path / "photos")])


# Texts without a model --------------------------------------------------------------------------


def read(files, text="text", second=None, pairs=False, **how):
    return [
        (told, value)
        for chunk in new_examples.text_chunks([str(f) for f in files], text, second, pairs, **how)
        for told, value in zip(
            chunk.told, chunk.examples.read(np.arange(len(chunk.told))), strict=True
        )
    ]


def test_texts_from_lines_and_tables(tmp_path):
    (tmp_path / "a.txt").write_text("one, two\nthree\n")
    (tmp_path / "b.csv").write_text('text,n\n"four, five",1\nsix,2\n')
    (tmp_path / "c.jsonl").write_text('{"text": "seven"}\n')
    found = read([tmp_path / name for name in ("a.txt", "b.csv", "c.jsonl")])
    assert [value for _, value in found] == ["one, two", "three", "four, five", "six", "seven"]
    assert [told[1] for told, _ in found] == [1, 2, 2, 3, 1], "lines as an editor counts them"


def test_pairs_of_texts(tmp_path):
    (tmp_path / "a.txt").write_text("one\ttwo\n")
    (tmp_path / "b.csv").write_text("s1,s2\nthree,four\n")
    found = read([tmp_path / "a.txt", tmp_path / "b.csv"], "s1", "s2", pairs=True)
    assert [value for _, value in found] == [("one", "two"), ("three", "four")]
    assert found[1][0][2:] == ("three", "four")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"", "holds no texts"),
        ("a.txt", b"one\n\ntwo\n", "line 2 is empty"),
        ("a.txt", b"one\n\xff\xfe\n", "line 2 has bytes that are no utf-8"),
        ("a.csv", b"review\nx\n", "no column 'text'.*; --text names the column"),
        ("a.csv", b"text\ta\nx\ty\n", "no column 'text', only .*: give --delimiter=tab"),
        ("a.csv", b"text\n\xe9\n", "line 2 has bytes .*: --encoding=latin-1"),
        ("a.csv", b"text\n \n", "empty text"),
        ("a.pdf", b"x", "this model takes texts"),
        ("none.txt", None, "no such file"),
    ],
)
def test_bad_texts(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=told) as caught:
        read([tmp_path / name])
    assert "target." not in str(caught.value), "no key of a grid is a way out here"


def test_pairs_where_single_texts_are_wanted_and_the_other_way(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(BadInputError, match="must hold two texts with a tab"):
        read([tmp_path / "a.txt"], "s1", "s2", pairs=True)
    with pytest.raises(BadInputError, match="give --pair too"):
        read([tmp_path / "a.txt"], "s1", None, pairs=True)
    with pytest.raises(BadInputError, match="leave out --pair"):
        read([tmp_path / "a.txt"], "s1", "s2")


def test_tables_are_read_as_the_cells_was_unless_told_otherwise(tmp_path):
    (tmp_path / "a.csv").write_bytes("n;text\n1;été\n".encode("latin-1"))
    (tmp_path / "b.csv").write_bytes("n|text\n1|été\n".encode("utf-16"))
    cells = {"text": "text", "pair": None, "encoding": "latin-1", "delimiter": ";"}
    inputs = {"modality": "text", **cells}

    def texts(name, inputs, **typed):
        (chunk,) = predicting.chunks_of(inputs, [str(tmp_path / name)], **typed)
        return chunk.told

    (row,) = texts("a.csv", inputs)
    assert row[1:] == (2, "été")
    (row,) = texts("b.csv", inputs, encoding="utf-16", delimiter="|")
    assert row[1:] == (2, "été")
    older = {"modality": "text", "text": "text", "pair": None}
    (row,) = texts("a.csv", older, encoding="latin-1", delimiter="semicolon")
    assert row[1:] == (2, "été")
    with pytest.raises(BadInputError, match="are about tables, and this model takes im"):
        predicting.chunks_of({"modality": "image"}, ["a.png"], encoding="latin-1")
