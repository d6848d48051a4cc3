"""Differences between WebUI versions and forks, and what to do when an interface has changed."""
