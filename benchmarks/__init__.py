"""Every figure that the project names: `python -m benchmarks NAME [--only CHECK] [--json FILE]`."""
