"""Nothing to clean up."""


class NansException(Exception):
    pass


def torch_gc():
    pass
