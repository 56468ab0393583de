"""Lengths of bodies as a head ends with them: digits and an empty line. Most are short, and written once."""

KNOWN_LENGTHS = 4096
LENGTHS = tuple([b"%d\r\n\r\n" % size for size in range(KNOWN_LENGTHS)])
