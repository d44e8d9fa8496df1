"""A text that a user chose, as the name of one file or folder: it never leads elsewhere, and no two texts share one."""

import hashlib
import re
from urllib.parse import quote

LONGEST = 150  # bytes; a file system takes 255, and more may be added
UNSAFE = re.compile(r"[/%\x00-\x1f\x7f]|^\.+$")


def file_name(text: str) -> str:
    """The text itself, if nothing in it has to be written otherwise."""
    name = UNSAFE.sub(lambda found: quote(found.group(), safe="").replace(".", "%2E"), text) or "%"
    if len(name.encode()) <= LONGEST:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{name.encode()[:LONGEST].decode(errors='ignore')}%{digest}"
