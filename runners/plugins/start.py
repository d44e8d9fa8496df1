"""kvarena, as it is called: what is said without torch, which takes seconds to import, is said at once."""

import sys
from pkgutil import resolve_name

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
    resolve_name("kvarena.runners.evaluate:main")()


if __name__ == "__main__":
    main()
