"""`python -m safs` is the command line too."""

from safs.cli import main

main()
