"""`python -m ialctl`."""

from ialctl.app import main

main()
