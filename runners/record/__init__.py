"""What a run leaves on disk: run.json, a `Record` a line, and a lock while it goes on.

And how the commands that read it take arguments and are read. No torch.
"""

from .arguments import LineParser, natural, positive
from .checked import check
from .file_name import file_name
from .files import append_line, check_appends, make_folder, replace_file
from .find import folders_with, refuse_file, run_folders
from .labels import DENSE, Labels
from .lock import Locked, locked
from .picture import write_figure
from .questions import read_questions, write_questions
from .readable import end_unread, readable
from .record import Record, RunFolder, Session

__all__ = [
    "DENSE",
    "Labels",
    "LineParser",
    "Locked",
    "Record",
    "RunFolder",
    "Session",
    "append_line",
    "check",
    "check_appends",
    "end_unread",
    "file_name",
    "folders_with",
    "locked",
    "make_folder",
    "natural",
    "positive",
    "read_questions",
    "readable",
    "refuse_file",
    "replace_file",
    "run_folders",
    "write_figure",
    "write_questions",
]
