"""Nextcloud Context Chat, retrieved through a backend of your choice."""

__version__ = "0.1.0"
