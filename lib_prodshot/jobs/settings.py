"""The settings of a folder job beside the request's, with the same names, defaults, ranges and help everywhere."""

from __future__ import annotations

from lib_prodshot.schema import Setting

SETTINGS = (
    Setting(
        name="folder",
        kind="text",
        default="",
        label="Folder",
        help="Folder with pictures; they are only read.",
        section="job",
        infotext="",
    ),
    Setting(
        name="out",
        kind="text",
        default="",
        label="Output folder",
        help="Folder for the results and the report; another one than the pictures' own.",
        section="job",
        infotext="",
    ),
    Setting(
        name="recursive",
        kind="flag",
        default=False,
        label="Sub-folders",
        help="Also the pictures in sub-folders and in folders that links lead to; the sub-folders are kept.",
        section="job",
        infotext="",
    ),
    Setting(
        name="dry_run",
        kind="flag",
        default=False,
        label="Only find",
        help="Only find: a report and a sheet, no results. Takes an output folder of its own.",
        section="job",
        infotext="",
    ),
    Setting(
        name="limit",
        kind="integer",
        default=0,
        label="Limit",
        help="Only the first so many pictures of the folder, in the order of their names; 0 takes all.",
        section="job",
        infotext="",
        minimum=0,
        maximum=10_000_000,
        step=1,
    ),
    Setting(
        name="keep_times",
        kind="flag",
        default=False,
        label="Keep times",
        help="Results get their picture's modification time. The copy of a skipped picture always has it.",
        section="job",
        infotext="",
    ),
)
"""In the order in which forms show them."""


def job_setting(name: str) -> Setting:
    """Return one of them. Raises KeyError for an unknown name."""
    return {known.name: known for known in SETTINGS}[name]
