"""The routes /prodshot/v1/*: bodies, credentials, answers, and their description as OpenAPI."""
