"""``python -m rackwave``: the same as the command ``rackwave``."""

from .cli import main

if __name__ == "__main__":
    main()
