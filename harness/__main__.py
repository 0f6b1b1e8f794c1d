"""`python -m harness` is `oomtrial`."""

from harness.cli import main

main()
