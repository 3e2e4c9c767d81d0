"""Plain tables in a narrow terminal: names give way, then get lines of their own."""

from transfergrid.report.columns import render

ROWS = [
    {"target": "digits, 20", "source": source, "strategy": strategy, "part": part, **gains}
    for source, strategy in (
        ("glyphs_of_many_hands", "domain_adversarial"),
        ("glyphs_of_few_hands", "domain_adversarial"),
    )
    for part, gains in (
        ("cat", {"gain": "+13.1 [-17.7, +33.8]", "then": "-5.0 ±1.0", "verdict": "? undecided"}),
        ("dog", {"gain": "-5.0 [-11.6, -4.5]", "then": "-15.0 ±1.0", "verdict": "▼ negative"}),
    )
]


def shown(width, heading=3):
    return render([], ROWS, width=width, heading=heading).splitlines()


def test_a_wide_terminal_has_a_line_for_each_row():
    lines = shown(120)
    assert len(lines) == 5
    assert "…" not in "".join(lines)


def test_a_little_less_cuts_names_alone():
    lines = shown(95)
    assert len(lines) == 5
    assert max(map(len, lines)) <= 95
    assert any("…" in line for line in lines)
    assert all(row["gain"] in line for row, line in zip(ROWS, lines[1:], strict=True))


def test_where_little_would_be_left_of_names_they_stand_once_above_their_rows():
    lines = shown(80)
    assert lines[:2] == [
        "target  source  strategy",
        "  part  gain                  then        verdict",
    ]
    assert lines[2:5] == [
        "digits, 20  glyphs_of_many_hands  domain_adversarial",
        "  cat   +13.1 [-17.7, +33.8]  -5.0 ±1.0   ? undecided",
        "  dog   -5.0 [-11.6, -4.5]    -15.0 ±1.0  ▼ negative",
    ]
    assert lines[5] == "digits, 20  glyphs_of_few_hands  domain_adversarial"
    assert len(lines) == 8


def test_a_name_wraps_and_a_number_is_whole_however_narrow_it_is():
    lines = shown(40)
    for row in ROWS:
        assert sum(row["gain"] in line for line in lines) == 2  # once for each source
    assert any(line.endswith("domain_adversarial") for line in lines)


def test_without_a_heading_names_are_cut_further():
    assert len(shown(84, heading=0)) == 5
    assert max(map(len, shown(84, heading=0))) <= 84
