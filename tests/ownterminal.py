"""A process that has a terminal of its own."""

import os
import signal


def on_terminal(descriptor):
    """What a child does before exec: the terminal is its own, and ends it when it is closed."""

    def take():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.login_tty(descriptor)

    return take
