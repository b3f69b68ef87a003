"""The server's face to programs: routes, OpenAPI and streaming, all derived from the declared operations."""
