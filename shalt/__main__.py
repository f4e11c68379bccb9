"""`python -m shalt` is `shalt`."""

from shalt.cli import main

main()
