"""How what was found by meaning and what was found by words become one list."""
