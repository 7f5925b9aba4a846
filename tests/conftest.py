"""Each of pytest's processes computes on one core: threads that wait for one another cost a third of the time."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; the processes of tests inherit it
