"""kvarena, as it is called: what is said without torch, which takes seconds to import, is said at once."""

import sys
from pkgutil import resolve_name

from ..interrupt import heard_by, leave
from ..record import readable
from .listing import answer


def main() -> None:
    with readable():
        try:
            said = answer(sys.argv[1:])
        except ValueError as error:
            print(f"kvarena: {error}", file=sys.stderr)
            sys.exit(2)
        if said is not None:
            print(said)
            return
    hand_over("main")


def start_fidelity() -> None:
    hand_over("main_fidelity")


def hand_over(command: str) -> None:
    """One that decodes; its import takes seconds, and a run hears signals itself."""
    with heard_by(leave):
        work = resolve_name(f"kvarena.runners.evaluate:{command}")
    work()


if __name__ == "__main__":
    main()
