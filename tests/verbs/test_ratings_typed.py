"""Ratings from the command line: cells, refusals in a line, and predictions of new entries."""

import csv
import io

import numpy as np
import pytest

from composed import planned
from transfergrid.data.planted_ratings import PlantedRatings
from transfergrid.records.errors import BadInputError
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.runs.cell import run_cell
from transfergrid.runs.machine import Machine
from transfergrid.verbs.predicting import chunks_of, described, write_predictions

SMALL = ("target.users=30", "target.n_items=20", "target.density=0.5", "labels=all")
PLANTED = ("target=planted_ratings", *SMALL)


@pytest.fixture
def films(tmp_path):
    """Return the path of a table of ratings."""
    rows = np.random.default_rng(0).integers(0, 12, (90, 2))
    pairs = sorted({(f"u{user}", f"f{film}") for user, film in rows.tolist()})
    lines = ["who,film,stars", *(f"{u},{f},{len(u) + int(f[1:]) % 5}" for u, f in pairs)]
    file = tmp_path / "films.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_cell_is_compared_with_the_target_alone_and_that_with_means():
    cells = planned(*PLANTED, "strategy=collective_factorization", "source=planted_ratings").cells
    by_name = {cell.names.strategy: cell for cell in cells}
    assert [*by_name] == ["rating_means", "matrix_factorization", "collective_factorization"]
    found = by_name["collective_factorization"]
    assert (found.baseline.name, found.names.source) == ("matrix_factorization", "planted_ratings")
    assert found.names.architecture is None
    assert found.names.training is None
    assert by_name["matrix_factorization"].config["source"] is None


def test_the_source_is_its_matrix_and_no_more():
    words = (*PLANTED, "strategy=collective_factorization")
    one, other = (
        planned(*words, f"source={source}").cells[-1]
        for source in ("planted_ratings", "'planted_ratings(domain.noise=0.1)'")
    )
    assert one.parts.source != other.parts.source
    assert one.parts.strategy == other.parts.strategy


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*PLANTED, "strategy=full_finetuning"), "learns classes, and .* entries of a matrix"),
        (("strategy=soft_impute",), "learns entries of a matrix, and digits holds classes"),
        ((*PLANTED, "strategy=collective_factorization"), "takes images, and .* holds matrices"),
        (("source=planted_ratings",), "takes matrices, and digits holds images"),
        ((*PLANTED, "labels=0", "strategy=soft_impute"), "needs target labels"),
        ((*PLANTED, "target.metric=accuracy", "strategy=soft_impute"), "metric of classes"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(words, told):
    with pytest.raises(BadInputError, match=told) as caught:
        planned(*words)
    assert "\n" not in str(caught.value)


def test_a_kept_model_fills_in_new_entries(films, tmp_path):
    words = ("target=ratings", f"target.file={films}", "target.user=who", "target.item=film")
    more = ("target.label=stars", "target.test_split=0.2", "labels=all")
    (*_, cell) = planned(*words, *more, "strategy=matrix_factorization").cells
    ledger = Ledger(tmp_path / "results")
    record = run_cell(cell, ledger, Machine("cpu", threads=1, diagnostics="none"), keep="all")
    assert {"rmse", "mae", "mse", "r2"} <= record.scores.test.keys()
    assert record.data.notes["matrix"]["users"] <= 12
    asked = tmp_path / "asked.csv"
    asked.write_text("film,who\nf1,u2\nf3,nobody\n", encoding="utf-8")
    folder, description = described(record.id, str(ledger.root))
    stream = io.StringIO()
    write_predictions(folder, description, chunks_of(description["inputs"], [str(asked)]), stream)
    first, second = csv.DictReader(io.StringIO(stream.getvalue()))
    assert (first["who"], first["film"], second["who"]) == ("u2", "f1", "nobody")
    assert np.isfinite([float(row["stars"]) for row in (first, second)]).all()
    with pytest.raises(BadInputError, match="table with columns who and film"):
        next(chunks_of(description["inputs"], ["photo.png"]))


def test_the_planted_target_has_the_classes_of_a_domain_of_numbers():
    domain = PlantedRatings()
    assert domain.of_numbers
    assert domain.task.names == ("value",)
