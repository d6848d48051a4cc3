"""Object storage (s3://, gs:// …) through fsspec, which is loaded when a URL is first used and not before."""
