"""PostgreSQL for drivers: documents, readers and, where wanted, chunks; embedded when nothing is configured."""
