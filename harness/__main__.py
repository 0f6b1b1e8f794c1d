"""`python -m harness` is `oomtrial`."""

from .cli import main

if __name__ == "__main__":
    main()
