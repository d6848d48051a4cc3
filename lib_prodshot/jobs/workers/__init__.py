"""The workers of a folder job: in this process, with remote WebUIs, or on a Ray cluster."""
