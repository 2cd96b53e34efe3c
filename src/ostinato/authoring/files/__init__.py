"""This package turns folders of files into flows: a folder is a flow, a file a task."""
