"""The shipped drivers, one folder each. The core loads them by name and never imports them."""
