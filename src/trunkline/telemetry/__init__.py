"""What a monitoring system is told: counts for `/metrics`, spans over OTLP. Made of records after they are stored, never on a request's way."""
