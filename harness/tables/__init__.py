"""Evidence as pandas tables, with one schema, kept as Parquet."""
