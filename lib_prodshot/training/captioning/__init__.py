"""Captions for a training set: where they come from, and the job that writes them."""
