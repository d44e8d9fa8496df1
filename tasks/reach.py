"""The Hugging Face hub is asked once whether it answers; its own clients would ask five times for every file."""

from functools import cache
from queue import Empty, SimpleQueue
from threading import Thread

from huggingface_hub import constants, get_session

PATIENCE = 5  # s; a name server may take longer than any timeout of a client says


@cache
def prepare() -> None:
    """Before the hub is needed: where it does not answer, its clients take what they fetched before, at once."""
    if not constants.HF_HUB_OFFLINE and not _answers():
        constants.HF_HUB_OFFLINE = True


def _answers() -> bool:
    found: SimpleQueue[bool] = SimpleQueue()

    def ask() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)
            found.put(True)
        except Exception:  # of whichever client the hub's package comes with: no answer
            found.put(False)

    Thread(target=ask, daemon=True).start()
    try:
        return found.get(timeout=PATIENCE)
    except Empty:
        return False
