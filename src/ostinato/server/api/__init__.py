"""This package is the interface for programs: JSON documents under ``/api/v1``."""
