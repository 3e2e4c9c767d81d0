"""The config keys that the command line knows, and how a verb is found before them.

Hydra is not imported here, because verbs that read results do not need it.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfergrid.records.errors import BadInputError

GROUPS = ("source", "strategy", "target", "training", "tuning")
DEFAULTS = "strategy_defaults"
"""The setting with a grid's defaults for strategies, used where nothing is typed."""
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
"""Options whose value may be the next word."""


def verb_first(words: Sequence[str]) -> list[str]:
    """Return the words with the verb first, if only options stand before it."""
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
    """Return whether the first word is neither an override nor an option."""
    return bool(words) and not words[0].startswith(("-", "+", "~")) and "=" not in words[0]


def check_no_key(word: str, verbs: Sequence[str]) -> None:
    """Raise `BadInputError` if the word in the verb's place is a key."""
    if word in KEYS:
        meant = f"; the verb is {word}s" if f"{word}s" in verbs else ""
        raise BadInputError(f"{word}: write {word}=VALUE, without spaces{meant}")
