"""The lines below every table and report of verdicts: the declaration, its hash, the looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from transfergrid.evidence.declared.declarations import SHOWN, Declaration
from transfergrid.evidence.declared.judged import Bench
from transfergrid.evidence.declared.looks import named
from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.measured.selecting import Where
from transfergrid.evidence.measured.unvalidated import unvalidated
from transfergrid.evidence.verdicts.decisions import Rules
from transfergrid.evidence.verdicts.families import RulesOf, family_of
from transfergrid.evidence.verdicts.verdict import Verdict
from transfergrid.records.cell import PROTOCOL, Cell
from transfergrid.report.wording import words
from transfergrid.report.wording.findings_words import without_validation

NOTHING = "Declared beforehand: nothing; the defaults decide."


def declared_lines(
    bench: Bench, rules: RulesOf, verdicts: Sequence[Verdict], where: str = ""
) -> list[str]:
    """Return the declarations behind the verdicts, and the cost of earlier looks, one line each.

    Args:
        bench: the bench of the ledger.
        rules: the rules that decided the verdicts.
        verdicts: all verdicts shown.
        where: the typed conditions, if any.
    """
    lines = [*_declarations(bench, rules, verdicts), *shown_where(where), *_to_come(bench)]
    lines += earlier_protocols(bench.results)
    shown = {cell for v in verdicts for cell in (*v.cells, *v.baseline_cells)}
    return [
        *lines,
        *_looks(bench, verdicts),
        *unchosen(bench.of_cells(shown)),
        *words.without_result("failed", words.told(bench.failures)),
        *failed_anew(bench),
    ]


def _to_come(bench: Bench) -> list[str]:
    if not bench.to_come:
        return []
    told = f"Not whole: {words.plural(bench.to_come, 'cell')} asked for but not run yet"
    return [f"{told}; to look before that is one more look."]


def earlier_protocols(cells: Iterable[Cell | Result]) -> list[str]:
    """Return a line for each earlier protocol with its number of cells."""
    counted = Counter(cell.protocol for cell in cells)
    return [
        f"{words.plural(counted[protocol], 'cell')} of protocol {protocol}: a grid of today runs "
        f"{'it' if counted[protocol] == 1 else 'them'} anew."
        for protocol in sorted(counted)
        if protocol < PROTOCOL
    ]


def shown_where(where: str) -> list[str]:
    """Return a line on the effect of conditions on the verdicts, if there are any."""
    if not where:
        return []
    if Where.parse(where).of_runs().conditions:
        return [f"Judged on the runs where {where}, and on no others: not as declared."]
    return [f"Shown where {where}; corrected for all arms of each family."]


def closing_lines(bench: Bench) -> list[str]:
    """Return the closing lines of a table without verdicts: declaration, old cells, `unchosen`."""
    told = NOTHING
    if bench.declared:
        told = f"Declared {bench.declaration.digest[:SHOWN]}: verdicts with transfergrid verdicts."
    return [told, *earlier_protocols(bench.results), *unchosen(bench), *failed_anew(bench)]


def failed_anew(bench: Bench) -> list[str]:
    """Return lines on cells that failed when run again, and whose earlier record is shown."""
    told = "failed when run anew, what is shown is their earlier records"
    if len(bench.failed_anew) == 1:
        told = "failed when run anew, what is shown is its earlier record"
    return words.without_result(told, words.told(bench.failed_anew))


def unchosen(bench: Bench) -> list[str]:
    """Return lines on the settings that strategies took where there is no validation part."""
    return without_validation(unvalidated(bench.ledger, bench.results))


def _declarations(bench: Bench, rules: RulesOf, verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line for each declaration behind the verdicts; the newest one if there are none."""
    if not bench.declared:
        return [NOTHING]
    found: dict[str, list[Verdict]] = {}
    by_digest = {}
    for verdict in verdicts:
        declaration = bench.declaration_of(family_of(verdict))
        by_digest[declaration.digest] = declaration
        found.setdefault(declaration.digest, []).append(verdict)
    if not found:
        return [_declaration(bench.declaration)]
    return [
        _declaration(by_digest[digest], these if len(found) > 1 else ())
        + _typed(by_digest[digest], rules(family_of(these[0])), these[0].target)
        + _redeclared(by_digest[digest], bench, these)
        for digest, these in found.items()
    ]


def _declaration(declaration: Declaration, of: Sequence[Verdict] = ()) -> str:
    seeds = words.plural(len(declaration.seeds), "seed")
    told = f"Declared {declaration.digest[:SHOWN]}"
    told += f" for {', '.join(dict.fromkeys(v.target for v in of))}" if of else ""
    told += f": family of {declaration.family}; "
    own = ", ".join(f"{target} {margin:g}" for target, margin in declaration.margins.items())
    told += f"margin {declaration.margin:g}{f' ({own})' if own else ''}, "
    told += f"error {100 * declaration.alpha:g} %, "
    told += f"{declaration.correction}; {seeds}"
    return told + (f" of at most {declaration.max_seeds}." if declaration.max_seeds else ".")


def _typed(declaration: Declaration, rules: Rules, target: str) -> str:
    names = ("margin", "alpha", "correction", "power")
    said = declaration.rules_on(target)
    other = [name for name in names if getattr(rules, name) != getattr(said, name)]
    return f" Not judged as declared: {', '.join(other)} typed anew." if other else ""


def _redeclared(declaration: Declaration, bench: Bench, verdicts: Sequence[Verdict]) -> str:
    """Return the rules that were different at earlier looks at these families."""
    families = {named(family_of(verdict)) for verdict in verdicts}
    looks = [look for look in bench.earlier if not families.isdisjoint(look.seeds)]
    told = []
    for name in ("margin", "margins", "alpha", "correction", "max_seeds"):
        now = getattr(declaration, name)
        usual = {} if name == "margins" else now
        earlier = [look.declaration.get(name, usual) for look in looks]
        if other := dict.fromkeys(str(value or "none") for value in earlier if value != now):
            told.append(f"{name} was {', '.join(other)}")
    return f" Declared anew after a look: {'; '.join(told)}." if told else ""


def _looks_before(verdicts: Sequence[Verdict], bench: Bench) -> int:
    """Return the largest number of earlier looks at one of the families."""
    families = {named(family_of(verdict)) for verdict in verdicts}
    return max((sum(name in look.seeds for look in bench.earlier) for name in families), default=0)


def _looks(bench: Bench, verdicts: Sequence[Verdict]) -> list[str]:
    shown = [v for v in verdicts if v.n > 1]
    alphas = {bench.rules(family_of(v)).alpha for v in shown}
    levels = sorted({v.level for v in shown})
    if not levels or (set(levels) == alphas and len(alphas) == 1):
        return []
    told = " to ".join(dict.fromkeys(f"{100 * level:.2g}" for level in (levels[0], levels[-1])))
    whole = " or ".join(f"{100 * alpha:g}" for alpha in sorted(alphas))
    before = _looks_before(shown, bench)
    counted = f"{words.plural(before, 'look')} before" if before else "the first look"
    most = {plan.most for v in shown if (plan := bench.plans.get(named(family_of(v))))}
    last = most.pop() if len(most) == 1 else None
    until = f"the rest is for looks up to {last} seeds"
    kept = until if last else "what is left is kept for further seeds"
    return [
        f"Judged at {told} % of error a family, of {whole} % in all ({counted}): {kept}, so that "
        "adding seeds and looking again stays honest."
    ]
