"""Programs: `python -m keras_fair.bin.train --help`, a screen each."""
