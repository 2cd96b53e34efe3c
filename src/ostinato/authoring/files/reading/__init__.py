"""From the files of a folder to specs."""
