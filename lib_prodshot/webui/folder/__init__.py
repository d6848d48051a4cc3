"""The folder job: its tab, its kind of job, and its worker in the process of the WebUI."""
