"""The keys of a config as the command line knows them, and what stands before them: the verb.

Hydra is not imported here, for verbs that read results never ask it.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.records.errors import BadInputError

GROUPS = ("source", "strategy", "target", "training", "tuning")
DEFAULTS = "strategy_defaults"
"""The setting that says what a grid's strategies have where nothing is typed."""
SETTINGS = (
    *("trainer", "tracking", "study", "results", "keep", "rerun"),
    *("references", "baselines", DEFAULTS, "verdict", "debug", "allow", "hydra"),
)
KEYS = (*GROUPS, "labels", "seed", *SETTINGS)
TAKE_A_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--info", "-i", "--package", "-p", "--experimental-rerun"),
    *("--allow", "--results"),
)
"""Options behind which a word may stand that is their value."""


def verb_first(words: Sequence[str]) -> list[str]:
    """Return the words with the verb in front, if one stands behind options alone."""
    is_value = False
    for place, word in enumerate(words):
        if word.startswith("-"):
            is_value = word in TAKE_A_VALUE
        elif is_value:
            is_value = False
        elif "=" in word or word.startswith(("+", "~")):
            break
        else:
            return [word, *words[:place], *words[place + 1 :]]
    return list(words)


def is_verb(words: Sequence[str]) -> bool:
    """Is the first word neither an override nor an option?"""
    return bool(words) and not words[0].startswith(("-", "+", "~")) and "=" not in words[0]


def check_no_key(word: str, verbs: Sequence[str]) -> None:
    """Raise `BadInputError` if what stands where a verb belongs is a key."""
    if word in KEYS:
        meant = f"; the verb is {word}s" if f"{word}s" in verbs else ""
        raise BadInputError(f"{word}: write {word}=VALUE, without spaces{meant}")
