"""The README of an exported model: what it is, its scores, its use, its limits."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from transfergrid.evidence.measured.gains import estimated, paired
from transfergrid.evidence.statistics.intervals import wilson
from transfergrid.records.cell import PROTOCOL
from transfergrid.records.errors import BadInputError
from transfergrid.records.keeping import why_kept
from transfergrid.records.ledgers.ledger import Ledger
from transfergrid.records.points import gain_this_seed, unit
from transfergrid.records.record import Record
from transfergrid.report.tables.columns import Align, Column, Group, Table
from transfergrid.report.tables.markup import markdown_lines
from transfergrid.report.wording.words import bracketed, ends, gained, number, scored

UNKNOWN = "not known to transfergrid"
SHOWN_CLASSES = 20
EXAMPLES = {"text": "texts.txt", "vector": "rows.csv"}
"""Example file names for new inputs, if these are not images."""
_PAIR: list[Column[tuple[str, str]]] = [Column("", itemgetter(0)), Column("", itemgetter(1))]


def model_card(ledger: Ledger, record: Record) -> str:
    """Return the card of a done cell's model in markdown."""
    sections = (
        ("", _what(record)),
        ("Scores", _scores(ledger, record)),
        ("Source", _source(record)),
        ("Use", _use(record)),
        ("Limits", _limits(ledger, record)),
    )
    title = f"# {_arm(record)} on {record.names.target}"
    told = [title]
    for heading, lines in sections:
        told.append("\n".join([*([f"## {heading}", ""] if heading else []), *lines]))
    return "\n\n".join(told) + "\n"


def _arm(record: Record) -> str:
    names = record.names
    return " of ".join(filter(None, (names.strategy, names.source or names.architecture)))


def _what(record: Record) -> Iterator[str]:
    names, data, chosen = record.names, record.data, record.chosen
    yield f"One model, adapted by transfergrid: cell `{record.id}`, seed {record.seed}."
    yield ""
    rows = [("source", names.source), ("architecture", names.architecture)]
    rows += [("strategy", names.strategy), ("training", names.training), ("target", names.target)]
    each = "in all" if data.outputs else "a class"
    budget = "all" if record.labels == "all" else f"{record.labels} {each}"
    if record.labels_got:
        low, high = record.labels_got
        got = f"{low} to {high}" if low < high else f"{low}"
        budget = f"{got} {each}, of {record.labels} asked for"
    rows.append(("target labels given", budget))
    apart = f"{data.validation} set aside, " if record.n_validation < data.validation else ""
    counts = f"{data.train} to learn from, {apart}{record.n_validation} to choose by"
    more = f"; {data.unlabelled} seen without labels" if data.unlabelled else ""
    rows.append(("of these", counts + more))
    if chosen is not None and chosen.by != "closed_form":
        which = "last" if chosen.by == "last_step" else f"best by {chosen.by}"
        rows.append(("step", f"{chosen.step}, the {which}"))
    rows += _settings(record)
    updates, batches = record.budget.optimiser_steps, record.budget.steps
    if updates is not None and updates != batches:
        rows.append(("optimiser steps", f"{updates} on {batches} batches"))
    rows.append(("numbers" if data.outputs else "classes", _classes(data.outputs or data.classes)))
    if record.protocol < PROTOCOL:
        rows.append(("protocol", f"{record.protocol}: a grid of today runs the cell anew"))
    rows.append(("parameters", f"{record.cost.parameters:,}" if record.cost.parameters else None))
    told = [(key, str(value)) for key, value in rows if value]
    yield from markdown_lines(Table(_PAIR, [Group(told)]))


def _settings(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the settings chosen after training, and the trials whose weights were averaged."""
    for path in record.chosen.paths if record.chosen else ():
        known = f", the best of {len(path.values)} by validation" if path.validation else ""
        yield path.name, f"{path.chosen:g}{known if len(path.values) > 1 else ''}"
    if record.tuning is not None and record.tuning.members:
        of = f"{len(record.tuning.members)} of {len(record.tuning.trials)}"
        yield "mean of the weights of", f"{of} trials"


def _classes(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:SHOWN_CLASSES])
    rest = len(classes) - SHOWN_CLASSES
    return f"{len(classes)}: {shown}" + (f" and {rest} more (classes.json)" if rest > 0 else "")


def _scores(ledger: Ledger, record: Record) -> Iterator[str]:
    name, n = _name(record.metric.name), record.data.test
    yield f"Test {name}: **{scored(record)}**{_interval(record, n)} on {n:,} examples."
    yield ""
    yield from _gain(ledger, record)
    yield ""
    parts = {name: getattr(record.scores, name) for name in ("train", "validation", "test")}

    def scored_in(part: str) -> Column[str]:
        def text(key: str) -> str:
            value = parts[part].get(key)
            return "–" if value is None else f"{value:.4f}"

        return Column(part, text, Align.RIGHT)

    columns = [Column("", _name), *(scored_in(name) for name, found in parts.items() if found)]
    yield from markdown_lines(Table(columns, [Group(list(record.scores.test or {}))]))


def _interval(record: Record, n: int) -> str:
    if record.metric.name != "accuracy" or record.score is None or n == 0:
        return ""
    low, high = (f"{100 * end:.1f}" for end in wilson(record.score, n))
    return f" (95 % interval [{low}, {high}], for this one model and new test examples)"


def _gain(ledger: Ledger, record: Record) -> Iterator[str]:
    """Yield the comparison with the baseline: of this seed, then of all seeds in the ledger."""
    if record.baseline is None:
        yield "It is a reference arm, compared with no baseline."
        return
    name = record.baseline.name
    try:
        baseline = ledger.read(record.baseline.id)
    except BadInputError:
        yield f"Its baseline, {name}, is not in the ledger."
        return
    alone = gain_this_seed(record, baseline)
    if alone is not None:
        yield (
            f"Baseline of the same seed: {name}, {scored(baseline)}. The gain of this one seed is "
            f"{gained(alone, record.metric)}, which is no verdict on the strategy."
        )
    yield from _over_seeds(ledger, record)


def _over_seeds(ledger: Ledger, record: Record) -> Iterator[str]:
    """Yield the gain over all seeds of the arm in the ledger, if there are several."""
    records = ledger.records()
    arm = [r for r in records if (r.parts, r.labels) == (record.parts, record.labels)]
    partners = {cell.baseline.id for cell in arm if cell.baseline}
    pairs = paired(arm, [r for r in records if r.id in partners])
    if len(pairs) > 1:
        found = estimated(pairs, ledger.predictions)
        shown = gained(found.mean, record.metric)
        mark = unit(record.metric)
        both = ends(found.low, found.high, mark)
        if told := bracketed(both, lambda end: number(end, mark, signed=True)):
            shown += f" (95 % {told}, for new {found.scope}, uncorrected)"
        yield f"Over the {found.n} seeds in the ledger this way of adapting gains {shown}."


def _name(metric: str) -> str:
    return metric.replace("_", " ")


def _source(record: Record) -> Iterator[str]:
    source = record.source
    if source is None:
        yield "No source: nothing in this model was learned elsewhere."
        return
    card: dict[str, Any] = source.get("card") or {}
    yield f"- weights: `{source.get('fingerprint', '?')}` (fingerprint)"
    yield f"- origin: {card.get('origin') or UNKNOWN}"
    yield f"- licence of the weights: {card.get('licence') or UNKNOWN}"
    trained_on = card.get("trained_on") or ()
    yield f"- trained on: {', '.join(map(str, trained_on)) or UNKNOWN}"
    held = getattr(record, "contaminated_by", ())
    if held:
        yield f"- **the target lies inside {', '.join(held)}**, which the source was trained on"


def _use(record: Record) -> Iterator[str]:
    target = record.config["target"]
    modality = (target.get("about") or {}).get("modality") or ("text" if "text" in target else "")
    example = EXAMPLES.get(modality, "photo.jpg")
    yield "```bash"
    yield "pip install transfergrid"
    told = "numbers" if record.data.outputs else "label and probabilities"
    yield f"transfergrid predict . {example}      # {told} as CSV"
    yield "```"
    module = record.config["strategy"]["_target_"].rpartition(".")[0]
    if not module.startswith("transfergrid."):
        yield ""
        yield f"The strategy is in the module `{module}`, which must be importable there."


def _limits(ledger: Ledger, record: Record) -> Iterator[str]:
    data, n = record.data, record.data.test
    yield f"- One run of one seed. Its scores are from {n:,} test examples of {record.names.target}"
    yield "  and say nothing of other data."
    yield f"- The licence of the target's data is {UNKNOWN}."
    if record.data.outputs:
        yield "- Every input gets numbers, also one that is nothing like those it learned from."
    else:
        yield "- Every input gets one of the classes above, also one that belongs to none of them."
    error = (record.scores.test or {}).get("ece")
    if error is not None:
        yield f"- Probabilities are not calibrated: on the test split they are off by {error:.3f}"
        yield "  (expected calibration error)."
    if why_kept(ledger, record.id) == "best":
        yield "- It was kept as the best of its grid by validation: that score flatters it;"
        yield "  the test split had no part in it."
    if record.flags.underfit:
        yield "- It does not fit its own training examples."
    if record.flags.collapsed:
        same = "as good as the same" if record.data.outputs else "one class"
        yield f"- It predicts {same} for all test examples."
    for name, (asked, got) in data.short.items():
        what = "There were" if record.data.outputs else f"Class {name} had"
        yield f"- {what} {got} examples where {asked} were asked for."
    copies = (data.notes or {}).get("duplicates")
    if isinstance(copies, dict) and (copies.get("exact") or copies.get("near")):
        told = f"{copies.get('exact', 0)} exact and {copies.get('near', 0)} near"
        yield f"- Copies of test examples among those to learn from: {told}."
