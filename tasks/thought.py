"""Where a thought ends and what is said begins.

A thought that has not ended says nothing. Where the prompt opened it, the text that is read here begins with <think>.
"""

OPEN, CLOSE = "<think>", "</think>"
UNFINISHED = "thought not ended"


def unfinished(text: str) -> bool:
    """Whether the last thought has no end."""
    return text.rfind(OPEN) > text.rfind(CLOSE)


def after_thought(text: str) -> str:
    """All that follows the last </think>; the whole of what has no thought; nothing while one goes on."""
    return "" if unfinished(text) else text.rpartition(CLOSE)[2]


def without_marks(text: str) -> str:
    """Thought and all, as a protocol reads it that takes the last answer anywhere."""
    return text.replace(OPEN, "").replace(CLOSE, "")
