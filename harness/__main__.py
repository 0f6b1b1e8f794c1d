"""`python -m harness` is `oomtrial`."""

from harness.cli import main

if __name__ == "__main__":
    main()
