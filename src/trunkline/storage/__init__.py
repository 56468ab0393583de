"""The only place with SQL: schema, migrations, the writer's batches, queries. A row never leaves it."""
