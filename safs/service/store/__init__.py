"""What the service knows, in one database: SQLite by default, PostgreSQL by its URL."""
