"""kvarena, as it is called: what is said without torch, which takes seconds to import, is said at once.

And every other command: what it is made of is imported when signals are heard.
"""

import sys
from functools import partial
from pkgutil import resolve_name

from ..interrupt import WHOLE, Stop, heard_by
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
    hand_over("evaluate:main")


def start_fidelity() -> None:
    hand_over("evaluate:main_fidelity")


def hand_over(work: str) -> None:
    """One that decodes; its import takes seconds, and a run hears signals itself."""
    with heard_by(Stop().leave):
        main = resolve_name(f"kvarena.runners.{work}")
    main()


def start(command: str, work: str, then: str = WHOLE) -> None:
    """Any other, which a signal ends wherever it is."""
    stop = Stop(command=command, then=then)
    with heard_by(stop.leave):
        main = resolve_name(f"kvarena.{work}")
        with stop.listen():
            sys.exit(main())


start_benchmark = partial(start, "kvarena-benchmark", "runners.benchmark:main", "resume=true goes on")
start_calibrate = partial(start, "kvarena-calibrate", "runners.calibrate.command:main")
start_export = partial(start, "kvarena-export", "runners.export.command:main")
start_foresight = partial(start, "kvarena-foresight", "runners.foresight.command:main")
start_forget = partial(start, "kvarena-forget", "runners.forget.command:main")
start_grade = partial(start, "kvarena-grade", "runners.grade:main")
start_import = partial(start, "kvarena-import", "runners.weights.command:main")
start_new_method = partial(start, "kvarena-new-method", "runners.plugins.new_method:main")
start_probe = partial(start, "kvarena-probe", "runners.readout.command:main")
start_profile = partial(start, "kvarena-profile", "runners.profile.command:main")
start_report = partial(start, "kvarena-report", "analysis.report:main")


if __name__ == "__main__":
    main()
