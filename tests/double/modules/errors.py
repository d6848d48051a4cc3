"""Errors that hooks raised: printed by the real one, kept here for the tests to see."""

import sys

reported = []


def report(message, *, exc_info=False):
    reported.append((message, sys.exc_info()[1] if exc_info else None))
