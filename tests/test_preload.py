"""preload.py: the option by which a server's owner opens folders to our API."""

from __future__ import annotations

import argparse

from lib_prodshot.hosts.server_paths import FLAG
from preload import preload


def test_folders_are_closed_until_the_owner_names_them() -> None:
    parser = argparse.ArgumentParser()
    preload(parser)
    assert getattr(parser.parse_args([]), FLAG) == []
    assert getattr(parser.parse_args(["--prodshot-allow-dir", "a", "--prodshot-allow-dir", "b"]), FLAG) == ["a", "b"]
