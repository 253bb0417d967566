"""What the tests in Python share: counting, and what is skipped (with LLAMA_TEST_STRICT=1, as in CI: a failure)."""
import os
import sys

passed = failed = skipped = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAILED: " + what)
    return ok


def skip(what):
    global skipped
    if os.environ.get("LLAMA_TEST_STRICT", "0") != "0":
        check(False, what)
    else:
        skipped += 1
        print("skipped: " + what)


def done():
    return passed + failed


def end():
    """The last line, by which run.sh and .ci/run count, and the exit status."""
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    sys.exit(failed != 0)
