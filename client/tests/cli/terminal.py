"""Drives a shell on a terminal of its own: a person who types, waits for what is shown, and types on.

Arguments: steps, each `type TEXT`, `key TEXT` (without Enter), `see TEXT` or `sleep SECONDS`. `^C` and `^Z` are keys.
Ends with status 0 if everything was seen.
"""
import os
import pty
import select
import signal
import sys
import time

PATIENCE = 30

pid, terminal = pty.fork()
if pid == 0:
    os.environ["PS1"] = "ready> "
    # A shell has its background jobs ignore these. If it is one that runs the tests, the terminal's own must not.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    os.execvp("bash", ["bash", "--norc", "--noediting", "-i"])

shown, seen = b"", 0


def read_until(is_done, what):
    global shown
    end = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > end:
            sys.exit(f"{what} was not seen in: {shown.decode(errors='replace')!r}")
        if select.select([terminal], [], [], 0.05)[0]:
            shown += os.read(terminal, 4096)


for step in sys.argv[1:]:
    verb, text = step.split(" ", 1)
    if verb == "type":
        seen = len(shown)
        keys = {"^C": b"\x03", "^Z": b"\x1a"}
        os.write(terminal, keys.get(text) or text.encode() + b"\n")
    elif verb == "key":
        seen = len(shown)
        os.write(terminal, {"Tab": b"\t", "Up": b"\x1b[A", "Enter": b"\r", "^D": b"\x04"}.get(text) or text.encode())
    elif verb == "see":
        read_until(lambda: text.encode() in shown[seen:], text)
        seen = shown.index(text.encode(), seen) + len(text)
    elif verb == "sleep":
        time.sleep(float(text))
