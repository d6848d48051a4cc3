"""The folder job: which pictures, in which order, with which seed, and what an earlier run has done already."""
