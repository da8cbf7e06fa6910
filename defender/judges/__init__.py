"""Judges read a response to an unsafe or harmless request, knowing neither identity nor prompt."""
