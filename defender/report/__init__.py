"""Reports turn a stored run into tables, figures and pages; nothing is measured here."""
