"""The commands, one file each: `add_parser(subparsers)` describes it, `run(arguments)` does it."""
