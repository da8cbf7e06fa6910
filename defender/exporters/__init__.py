"""Exporters write a prompt for production: one small file a format."""
