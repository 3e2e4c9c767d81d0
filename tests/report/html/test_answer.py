"""The answer in a sentence, and the counts."""

from dataclasses import replace

from made_report import fact, small_report, verdict

from transfergrid.evidence.measured.results import Result
from transfergrid.evidence.verdicts.decisions import Kind
from transfergrid.evidence.verdicts.verdict import PLACEBO
from transfergrid.records.cell import Names, Parts
from transfergrid.records.record import Metric
from transfergrid.report.html.answer import answers, counts, scores, summary
from transfergrid.report.html.boards import over_plain
from transfergrid.report.html.drawing import drawn
from transfergrid.report.html.sections import measured_against


def answer(*verdicts, **changes):
    return answers(small_report(verdicts=verdicts, **changes))[-1]


def test_the_arm_is_chosen_on_validation_and_its_gain_read_on_test():
    best_on_test = verdict("insects", gain=9.0, validation=81.0)
    chosen = verdict("birds", gain=2.0, validation=85.0)
    found = answer(best_on_test, chosen)
    assert found.row == 1
    assert "full_finetuning of birds" in found.sentence
    assert "85.0 %" in found.sentence
    # t of 1 - .05 / 4 with four degrees of freedom is 3.4954, and 2 / 2.7764 the standard error
    assert "it helped: +2.0 points over scratch [-0.5, +4.5] for the best of 2" in found.sentence
    (alone,) = answers(small_report(verdicts=(chosen,), cells={}))
    assert "it helped: +2.0 points over scratch [+0.0, +4.0]." in alone.sentence


def cells_of(validation):
    """Return facts of cells by arm: scores on validation, a seed each."""
    return {
        f"{arm}-{seed}": fact(seed, validation=score / 100)
        for arm, scores in validation.items()
        for seed, score in enumerate(scores)
    }


def test_choosing_is_worth_what_the_other_seeds_would_have_chosen():
    """By hand: left out 0, 1, 2, the means are birds 80, 85, 75 and insects 81, 80, 79.

    So insects are chosen for seeds 0 and 2, birds for seed 1: gains 1, 7 and 3, mean 3.67.
    """
    shared = {"n": 3, "seeds": (0, 1, 2), "validation": 80.0}
    birds = verdict("birds", gains=(9.0, 7.0, 5.0), cells=("b-0", "b-1", "b-2"), **shared)
    insects = verdict("insects", gains=(1.0, 2.0, 3.0), cells=("i-0", "i-1", "i-2"), **shared)
    birds = replace(birds, validation=80.0 + 0.01)
    cells = cells_of({"b": (80.0, 70.0, 90.0), "i": (78.0, 80.0, 82.0)})
    found = answer(birds, insects, cells=cells)
    assert found.row == 0
    assert found.sentence.endswith(
        "; each seed left to an arm chosen by the others: +3.7 (of 3: full_finetuning of insects "
        "2, full_finetuning of birds 1)."
    )


def test_one_seed_is_chosen_and_scored_by_the_same_run():
    one = {"n": 1, "seeds": (0,), "gains": (2.0,)}
    found = answer(
        verdict("birds", cells=("b-0",), validation=90.0, **one),
        verdict("insects", cells=("i-0",), validation=80.0, **one),
    )
    assert "the same run chose and scored it, so its gain is too good" in found.sentence


def test_equal_validation_is_never_decided_by_the_test_score():
    best_on_test = verdict("insects", gain=9.0, validation=85.0)
    found = answer(best_on_test, verdict("birds", gain=2.0, validation=85.0), cells={})
    assert found.row == 1
    assert "(85.0 %, with 1 as good)" in found.sentence
    level = {f"scratch-{i}": fact(i, validation=0.85) for i in range(5)}
    assert answer(best_on_test, cells=level).row is None


def test_of_a_loss_the_smallest_is_chosen():
    found = answer(
        verdict("insects", metric="loss", unit="", validation=0.5),
        verdict("birds", metric="loss", unit="", validation=0.2),
        lower_is_better=frozenset({"loss"}),
        cells={},
    )
    assert found.row == 1


def test_a_placebo_is_never_recommended():
    placebo = replace(verdict("placebo", validation=99.0), kind=PLACEBO)
    assert answer(placebo, verdict(validation=85.0)).row == 1


def test_a_baseline_that_validates_best_is_the_answer():
    cells = {f"scratch-{i}": fact(i, validation=0.95) for i in range(5)}
    found = answer(verdict(validation=90.0), cells=cells)
    assert found.row is None
    assert found.kind is None
    assert "use no more than scratch" in found.sentence


def test_without_validation_nothing_is_recommended():
    two = (
        verdict(labels=2, validation=None),
        verdict("insects", labels=2, validation=None, kind=Kind.UNDECIDED),
    )
    found = answer(*two, cells={})
    assert found.kind is None
    assert found.sentence.startswith("no arm can be chosen on validation")
    assert "; 1 of 2 arms is proven to help and 0 to hurt" in found.sentence


def test_an_only_arm_needs_no_choice():
    placebo = replace(verdict("placebo", labels=0, validation=None), kind=PLACEBO)
    found = answer(placebo, verdict(labels=0, validation=None, gain=9.0), cells={})
    assert found.row == 1
    assert "the only arm is full_finetuning of birds" in found.sentence
    assert "it helped: +9.0 points" in found.sentence


def test_without_validation_the_arm_of_the_next_budget_is_told_as_such():
    few = verdict(labels=2, validation=None, gain=9.0)
    other = verdict("insects", labels=2, validation=None, gain=12.0)
    many = verdict(labels=20, validation=90.0)
    first, _ = answers(small_report(verdicts=(few, other, many), cells={}))
    assert first.sentence.startswith("full_finetuning of birds, chosen at 20 labels a class")
    assert "no labels are held back for validation" in first.sentence
    assert first.row == 0


def test_the_first_sentence_says_where_it_helps_and_where_it_hurts():
    few = verdict(labels=2)
    probe = verdict("insects", "probe", labels=2, kind=Kind.UNDECIDED)
    hurt = [verdict(name, "probe", labels="all", kind=Kind.NEGATIVE) for name in ("a", "b")]
    placebo = replace(verdict("placebo", labels=20, kind=Kind.NEGATIVE), kind=PLACEBO)
    told = summary(small_report(verdicts=(few, probe, *hurt, placebo)))
    assert told == [
        "On pets, transfer is proven to help with 2 labels a class (1 of 2 arms), "
        "and to hurt with all target labels (2 of 2 arms, all with probe)."
    ]


def test_the_first_sentence_says_what_is_ruled_out_beside_what_is_proven():
    kinds = (Kind.POSITIVE, Kind.HARM_RULED_OUT, Kind.HARM_RULED_OUT, Kind.GAIN_RULED_OUT)
    told = [verdict(f"source{i}", labels=2, kind=kind) for i, kind in enumerate(kinds)]
    assert summary(small_report(verdicts=tuple(told))) == [
        "On pets, transfer is proven to help with 2 labels a class (1 of 4 arms), and nowhere to "
        "hurt; of 4 arms, harm is ruled out in 2 and a gain is ruled out in 1."
    ]


def test_where_nothing_is_proven_the_first_sentence_says_so():
    kinds = {
        Kind.UNDECIDED: "transfer is proven neither to help nor to hurt",
        Kind.EQUIVALENT: "transfer makes no difference that matters",
        Kind.NEGATIVE: "and nowhere to help",
    }
    for kind, words in kinds.items():
        assert words in summary(small_report(verdicts=(verdict(kind=kind),)))[0]


def test_many_targets_are_counted():
    many = [verdict(target=f"t{i}", kind=Kind.POSITIVE if i else Kind.NEGATIVE) for i in range(6)]
    (told,) = summary(small_report(verdicts=tuple(many)))
    assert told == "Some source is proven to help on 5 of 6 targets, and some to hurt on 1."


def test_an_undecided_answer_says_what_it_would_take():
    found = answer(verdict(kind=Kind.UNDECIDED, seeds_needed=7))
    assert "undecided whether it helps" in found.sentence
    assert "7 more seeds would tell" in found.sentence


def test_counts_are_of_sources_alone():
    found = counts(small_report())
    assert found.kinds == {
        Kind.POSITIVE: 1,
        Kind.NEGATIVE: 1,
        Kind.EQUIVALENT: 1,
        Kind.HARM_RULED_OUT: 0,
        Kind.GAIN_RULED_OUT: 0,
        Kind.UNDECIDED: 3,
    }
    assert found.aside == 2
    assert found.seeds == 5, "median of 3 and 7; one is not known"


def test_headline_counts_hold_the_false_discovery_rate_over_the_grid():
    one = [verdict(p=0.04, gain=1.0)]
    assert counts(small_report(verdicts=tuple(one))).helped_overall == 1
    crowd = [*one, *(verdict(f"s{i}", p=0.9) for i in range(9))]
    assert counts(small_report(verdicts=tuple(crowd))).helped_overall == 0


def test_what_proven_verdicts_rest_on_is_counted_with_them():
    shaky = [
        verdict("a", fragile=True, weak_baseline=True),
        verdict("b", weak_baseline=True),
        verdict("c", kind=Kind.UNDECIDED, fragile=True, weak_baseline=True),
    ]
    found = counts(small_report(verdicts=tuple(shaky)))
    assert (found.fragile, found.weak) == (1, 2)


def test_an_arm_that_another_one_beats_is_recommended_with_that_said():
    chosen = verdict("birds", gain=2.0, validation=85.0)
    worse = replace(chosen, gain=-5.0, verdict=Kind.NEGATIVE)
    over = {"full_finetuning": (worse,), "scratch_converged": (chosen,)}
    found = answer(chosen, over_baselines=over)
    assert found.sentence.endswith("; but it is proven worse than full_finetuning (-5.0).")


def test_the_page_opens_with_test_scores():
    data = small_report(verdicts=(verdict(gain=6.0, mean=84.0), verdict("insects", mean=79.5)))
    assert scores(data, answers(data)) == [
        "Test scores on pets: 20 labels a class, scratch 78.0 %, full_finetuning of birds 84.0 %, "
        "both arms 79.5 to 84.0 %."
    ]
    few = small_report(verdicts=(verdict(labels=2, validation=None),), cells={})
    (line,) = scores(few, answers(few))
    assert line == (
        "Test scores on pets: 2 labels a class, scratch 78.0 %, full_finetuning of birds 80.0 %."
    )
    many = small_report(verdicts=tuple(verdict(target=f"t{i}") for i in range(6)))
    assert scores(many, answers(many)) == []


def test_strategies_over_plain_finetuning_are_counted():
    plain = {"baseline": "full_finetuning", "primary": False}
    found = over_plain(
        [
            verdict("birds", "probe", -4.0, Kind.NEGATIVE, **plain),
            verdict("birds", "lora", 1.0, Kind.UNDECIDED, **plain),
            replace(verdict("noise", "lora", -9.0, Kind.NEGATIVE, **plain), kind=PLACEBO),
        ]
    )
    assert found.lines == ("Of 2 comparisons with full_finetuning: 1 worse, 1 undecided.",)
    assert drawn(found.tables[0]).lines[0][1:] == (
        *("birds", "probe", "▼ hurt", "80.0", "78.0", "-4.0 [-6.0, -2.0]"),
    )
    assert over_plain([]) is None


def test_what_is_not_compared_is_not_undecided():
    nothing = verdict("c", None, kind=Kind.UNDECIDED, n=0)
    nothing = replace(nothing, strategy="probe", gain=None, seeds=(), gains=(), cells=())
    found = counts(small_report(verdicts=(verdict("a"), nothing)))
    assert (found.kinds[Kind.UNDECIDED], found.not_compared, found.aside) == (0, 1, 0)
    assert sum(found.kinds.values()) == 1


def test_the_interval_of_the_best_goes_no_further_than_per_cent_can():
    wide = {"se": 9.0, "df": 1, "n": 2}
    found = answer(
        verdict("birds", validation=90.0, **wide), verdict("insects", validation=80.0), cells={}
    )
    assert "[-100.0, +100.0] for the best of 2" in found.sentence


def test_what_is_ruled_out_is_said_in_the_sentence_and_counted():
    no_harm = verdict("birds", verdict=Kind.HARM_RULED_OUT, gain=0.6, validation=85.0)
    no_gain = verdict("insects", verdict=Kind.GAIN_RULED_OUT, gain=-0.6, validation=80.0)
    found = answer(no_harm, no_gain)
    assert found.kind is Kind.HARM_RULED_OUT
    assert "no loss of 1 or more, whether it helps or not: +0.6 points" in found.sentence
    report = small_report(verdicts=(no_harm, no_gain))
    assert counts(report).kinds[Kind.HARM_RULED_OUT] == 1
    (line,) = summary(report)
    told = "neither to help nor to hurt; of 2 arms, harm is ruled out in 1 and a gain"
    assert told in line


def test_an_undecided_arm_says_how_many_seeds_as_a_range():
    one = verdict("birds", verdict=Kind.UNDECIDED, validation=85.0, seeds_needed=5)
    found = answer(replace(one, seeds_needed_low=2, seeds_needed_high=9))
    assert found.sentence.endswith("; 2 to 9 more seeds would tell.")


def test_small_losses_keep_their_decimals_everywhere():
    loss = {"metric": "log_loss", "unit": "", "mean": 0.412, "baseline_mean": 0.455}
    told = verdict(gain=0.043, low=0.01, high=0.076, se=0.033 / 2.776445, **loss)
    data = small_report(verdicts=(told,), cells={}, over_baselines={})
    assert "at 0.412, it helped: +0.043 over scratch [+0.010, +0.076]" in answers(data)[0].sentence
    scratch = [
        Result(
            id=str(seed),
            names=Names(strategy="scratch", target="pets"),
            parts=Parts(strategy="s", target="t"),
            labels=20,
            seed=seed,
            score=score,
            metric=Metric(name="log_loss", higher_is_better=False),
        )
        for seed, score in enumerate((0.45, 0.46))
    ]
    (line,) = drawn(measured_against(scratch, [told]).tables[0]).lines
    assert line == ("pets", "20", "0.455 ± 0.007 (n = 2)")  # .01 / sqrt(2) = .00707
