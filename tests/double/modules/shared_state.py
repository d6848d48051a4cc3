"""Progress and interruption."""


class State:
    skipped = False
    interrupted = False
    stopping_generation = False
    job = ""
    job_no = 0
    job_count = 0
    job_timestamp = "0"
    sampling_step = 0
    sampling_steps = 0
    textinfo = None

    def nextjob(self):
        self.job_no += 1
        self.sampling_step = 0

    def interrupt(self):
        self.interrupted = True

    def skip(self):
        self.skipped = True

    def begin(self, job="(unknown)"):
        self.job, self.job_no, self.job_count, self.sampling_step = job, 0, -1, 0
        self.skipped = self.interrupted = self.stopping_generation = False
        self.textinfo = None

    def end(self):
        self.job, self.job_count = "", 0
