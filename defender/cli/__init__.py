"""The command line: one file a command. Each parses, calls and prints; decisions are made elsewhere."""
