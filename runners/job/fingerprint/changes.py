"""What is not as it was when a run began."""

from collections.abc import Mapping, Sequence

Fingerprints = Mapping[str, Mapping[str, str]]  # of weights, tokenizer and code: a hash a file or module
SHOWN = 4  # names in a line


def changes(there: Fingerprints, now: Fingerprints) -> dict[str, list[str]]:
    """The names that differ, of each kind that is known on both sides."""
    both = [kind for kind in there if there[kind] and now.get(kind)]
    found = {kind: sorted({name for name, _ in there[kind].items() ^ now[kind].items()}) for kind in both}
    return {kind: names for kind, names in found.items() if names}


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
