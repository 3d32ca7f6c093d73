"""``python3 -m ci``."""

import sys

from ci.cli import main

sys.exit(main())
