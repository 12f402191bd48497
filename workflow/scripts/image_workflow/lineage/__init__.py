"""Record which file was made from which files, code and settings."""
