"""The report of a job: its lines, its totals, its contact sheet."""
