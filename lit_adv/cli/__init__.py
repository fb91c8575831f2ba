"""The command line: one front door, :mod:`lit_adv.cli.main`, and a module for each kind of command behind it."""
