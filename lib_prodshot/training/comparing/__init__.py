"""Which epoch of a run is best: its sample pictures, looked at by the finder and held against the photographs."""
