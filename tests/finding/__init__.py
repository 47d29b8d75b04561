"""What people type, and the document that they mean."""
