#!/usr/bin/env python3
"""A conversation of 30 turns through the program `chat`: each turn computes only what is new, and each reply is the one that computing the whole
text anew gives; so it is after /save and /load. Then Ctrl-C: it ends a reply, not the program.

python3 tests/chat_turns.py BUILD MODEL    Ends with `N passed, M failed, K skipped`.
"""
import json, os, re, signal, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True                              # nothing is left beside the script
from checks import check, end

TOPICS = ["rivers", "bread", "the moon", "bees", "a lighthouse", "glass", "trains", "salt", "the colour blue", "maps"]
ASK = ["Tell me about %s.", "What else is there to know about %s?", "And in one word, 'why' %s?"]
LINES = [ASK[i % 3] % TOPICS[i // 3] for i in range(30)]


class Chat:
    def __init__(self, build, model, *options):
        self.err = tempfile.TemporaryFile()
        self.p = subprocess.Popen([build + "/chat", "-m", model, "--verbose", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err)
        os.set_blocking(self.p.stdout.fileno(), False)
        self.turns = 0

    def said(self):
        # pread: the program writes through the same open file, and seek() would move its place under it
        return re.findall(rb"turn (\d+): (\d+) tokens, (\d+) of them computed; reply (\d+)", os.pread(self.err.fileno(), 1 << 24, 0))

    def send(self, line):
        self.p.stdin.write(line.encode() + b"\n")
        self.p.stdin.flush()

    def wait(self, seconds=120):
        """-> the reply and its numbers: the line on stderr comes after the text is out"""
        end = time.time() + seconds
        self.turns += 1
        while len(self.said()) < self.turns and time.time() < end and self.p.poll() is None:
            time.sleep(0.01)
        lines = self.said()
        return (self.p.stdout.read() or b"")[:-1], [int(x) for x in lines[-1]] if len(lines) == self.turns else None


def main():
    build, model = sys.argv[1:3]
    chat, messages, held = Chat(build, model, "--temp", "0", "-n", "16"), [], 0
    for i, line in enumerate(LINES):
        chat.send(line)
        reply, numbers = chat.wait()
        if numbers is None:
            check(False, "turn %d does not end" % (i + 1))
            break
        turn, tokens, computed, drawn = numbers
        check(turn == i + 1 and computed == tokens - held, "turn %d computes %d tokens of %d, %d were there" % (turn, computed, tokens, held))
        held = tokens + min(drawn, 15)              # the last one of 16 was not computed
        messages.append({"role": "user", "content": line})
        text = subprocess.run([build + "/template", "-m", model], input=json.dumps(messages).encode(), capture_output=True).stdout
        anew = subprocess.run([build + "/generate", "-m", model, "-p", "-", "--no-echo", "--temp", "0", "-n", "16"], input=text, capture_output=True).stdout[:-1]
        check(anew == reply, "turn %d: %r, anew %r" % (turn, reply, anew))
        messages.append({"role": "assistant", "content": reply.decode("utf-8", "replace")})
    with tempfile.TemporaryDirectory() as folder:   # /save, and /load in another process: the same turn as without
        path = folder + "/conversation"
        chat.send("/save " + path)
        chat.send("Thank you.")
        reply, numbers = chat.wait()
        for threads in "1", "2":
            other = Chat(build, model, "--temp", "0", "-n", "16", "-t", threads)
            other.send("/load " + path)
            other.send("Thank you.")
            check(other.wait() == (reply, numbers), "a turn after /load with %s threads: another one than without" % threads)
            other.p.stdin.close()
            check(other.p.wait(30) == 0, "chat ends with %s" % other.p.returncode)
        whole = open(path, "rb").read()
        for n in (0, 10, 30, 200, len(whole) - 1):
            open(path, "wb").write(whole[:n])
            run = subprocess.run([build + "/chat", "-m", model], input=("/load %s\n" % path).encode(), capture_output=True)
            check(run.returncode == 1 and run.stdout == b"" and run.stderr.count(b"\n") == 1, "/load of %d bytes: %r" % (n, run))
    chat.p.stdin.close()
    check(chat.p.wait(30) == 0, "chat ends with %s" % chat.p.returncode)

    chat = Chat(build, model, "--temp", "0", "--ignore-eos")
    chat.send("Write a long story.")
    time.sleep(2)
    chat.p.send_signal(signal.SIGINT)
    reply, numbers = chat.wait(20)
    check(numbers is not None and numbers[3] > 0 and len(reply) > 0 and chat.p.poll() is None, "Ctrl-C: %r" % (numbers,))
    chat.send("/reset")
    chat.send("Hi")
    time.sleep(1)
    chat.p.send_signal(signal.SIGINT)
    _, numbers = chat.wait(20)
    check(numbers is not None and numbers[0] == 1 and numbers[1] < 60, "after /reset: %r" % (numbers,))
    chat.p.stdin.close()
    try:
        check(chat.p.wait(30) == 0, "chat ends with %s after Ctrl-C" % chat.p.returncode)
    except subprocess.TimeoutExpired:
        chat.p.kill()
        check(False, "chat does not end")
    end()


if __name__ == "__main__":
    main()
