"""The conformance kit: proves that a driver keeps the contract. `ccbe conform NAME` runs it."""
