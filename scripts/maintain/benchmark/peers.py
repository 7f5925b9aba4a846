"""Other programs beside this suite, how near and how fast: `python -m scripts.peers`."""

from scripts.command import Command, command
from scripts.peers.__main__ import act, add_arguments

main = command(Command("scripts.maintain.benchmark peers", __doc__, add_arguments, act))
