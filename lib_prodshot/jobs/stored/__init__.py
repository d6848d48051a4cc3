"""Pictures and results in object storage: each picture is fetched at its turn, each result put when it is done."""
