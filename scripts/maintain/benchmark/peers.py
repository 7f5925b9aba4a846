"""Other programs beside this suite: `python -m scripts.maintain.benchmark peers --peer captum`."""

from scripts.command import Command, command
from scripts.peers.__main__ import act, add_arguments

main = command(Command("scripts.maintain.benchmark peers", __doc__, add_arguments, act))
