"""A double of AUTOMATIC1111 1.10.1's `modules`; see the README beside this folder."""
