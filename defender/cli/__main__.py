"""``python -m defender.cli``."""

from defender.cli.app import main

main()
