"""What does `python -m proxy` do? The same as the command `pillion`."""

import sys

from proxy.cli import main

sys.exit(main())
