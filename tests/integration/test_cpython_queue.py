# SPDX-License-Identifier: MIT
"""CPython's own test of its queue module, as the installed Python has it, on queues of a real jobqd.

Nothing of it is changed, nor skipped: BaseQueueTestMixin is imported from test.test_queue (Debian: the package
libpython3.11-testsuite) and meets cpython/jobq_queue.py in place of the queue module.
"""

import os
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpython"))
import jobq_queue  # noqa: E402

try:
    from test.test_queue import BaseQueueTestMixin
except ImportError as error:
    sys.exit("CPython's own tests are not installed (Debian: libpython3.11-testsuite): %s" % error)


class OnBroker(BaseQueueTestMixin):
    """The mixin's setUp() and tests; before and after them a broker of its own."""

    queue = jobq_queue

    def setUp(self):
        harness.Case.setUp(self)
        self.d.start_broker()
        jobq_queue.connect(self.d.url)
        self.addCleanup(jobq_queue.disconnect)
        self.type2test = getattr(jobq_queue, self.discipline)
        BaseQueueTestMixin.setUp(self)


class FifoQueue(OnBroker, harness.Case):
    discipline = "Queue"


class LifoQueue(OnBroker, harness.Case):
    discipline = "LifoQueue"


class PriorityQueue(OnBroker, harness.Case):
    discipline = "PriorityQueue"


if __name__ == "__main__":
    harness.main(library=True)
