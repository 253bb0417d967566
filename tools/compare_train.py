#!/usr/bin/env python3
"""Training speed and memory beside PyTorch eager: the same shape, float32, the same step (forward, backward, clipping, AdamW), in turns.

    python3 tools/compare_train.py [--shapes A,B] [--threads 1,2] [--rounds 5] [--steps 2] [--busy] [--program build/bench_train]

Needs torch. Prints a line of medians for each shape and number of threads, and their ratio. --busy: beside one other process that computes all the
time (PyTorch's threads wait for each other spinning; ours sleep)."""
import argparse, os, re, statistics, subprocess, sys, time

SHAPES = {"A": (288, 6, 6, 768, 4096, 8, 256), "B": (128, 4, 4, 384, 4096, 16, 256)}  # dim, layers, heads, ff, vocab, rows, len


def worker(shape, threads):
    """Steps on demand: reads a number of steps a line, answers with tokens/s and the peak of memory so far in MB."""
    import resource
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(threads)
    dim, layers, heads, ff, vocab, rows, length = SHAPES[shape]
    torch.manual_seed(1)

    class Norm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(dim))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.w

    def linear(a, b):
        return torch.nn.Linear(a, b, bias=False)

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = Norm(), Norm()
            self.qkv, self.o, self.gu, self.down = linear(dim, 3 * dim), linear(dim, dim), linear(dim, 2 * ff), linear(ff, dim)

        def forward(self, x, c, s):
            q, k, v = (y.view(rows, length, heads, -1).transpose(1, 2) for y in self.qkv(self.n1(x)).chunk(3, -1))

            def turn(y):
                a, b = y[..., 0::2], y[..., 1::2]
                return torch.stack((a * c - b * s, b * c + a * s), -1).flatten(-2)
            y = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
            x = x + self.o(y.transpose(1, 2).reshape(rows, length, dim))
            g, u = self.gu(self.n2(x)).chunk(2, -1)
            return x + self.down(F.silu(g) * u)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.layers, self.n = torch.nn.Embedding(vocab, dim), torch.nn.ModuleList(Layer() for _ in range(layers)), Norm()
            for p in self.parameters():
                if p.dim() == 2:
                    torch.nn.init.normal_(p, 0, 0.02)
            f = 10000.0 ** (-torch.arange(0, dim // heads, 2) / (dim // heads))
            a = torch.arange(length)[:, None] * f
            self.c, self.s = a.cos(), a.sin()

        def forward(self, ids):
            x = self.e(ids)
            for layer in self.layers:
                x = layer(x, self.c, self.s)
            return F.linear(self.n(x), self.e.weight)

    model = Model()
    optimizer = torch.optim.AdamW([{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": 0.1},
                                   {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.95))
    for line in sys.stdin:
        t0 = time.time()
        for _ in range(int(line)):
            ids = torch.randint(vocab, (rows, length))
            targets = torch.randint(vocab, (rows, length))
            F.cross_entropy(model(ids).view(-1, vocab), targets.view(-1)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(int(line) * rows * length / (time.time() - t0), peak, flush=True)


def ours(program, shape, threads, steps):
    p = subprocess.Popen([program, "-s", shape, "-t", str(threads), "-n", str(steps)], stdout=subprocess.PIPE, text=True)
    text = p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    if status:
        sys.exit("compare_train: %s failed" % program)
    return float(re.search(r"(\d+) tokens/s \(median\)", text)[1]), used.ru_maxrss / 1024


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--shapes", default="A,B")
    a.add_argument("--threads", default="1,2")
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--steps", type=int, default=2)
    a.add_argument("--busy", action="store_true")
    a.add_argument("--program", default="build/bench_train")
    a.add_argument("--worker", help=argparse.SUPPRESS)
    a = a.parse_args()
    if a.worker:
        shape, threads = a.worker.split(",")
        return worker(shape, int(threads))
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if a.busy else None
    try:
        for shape in a.shapes.split(","):
            for threads in map(int, a.threads.split(",")):
                p = subprocess.Popen([sys.executable, __file__, "--worker", "%s,%d" % (shape, threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                mine, theirs = [], []
                for i in range(-1, a.rounds):
                    p.stdin.write("%d\n" % (1 if i < 0 else a.steps))
                    p.stdin.flush()
                    speed, peak = map(float, p.stdout.readline().split())
                    if i < 0:
                        continue
                    theirs.append(speed)
                    speed, memory = ours(a.program, shape, threads, a.steps)
                    mine.append(speed)
                p.stdin.close()
                p.wait()
                x, y = statistics.median(mine), statistics.median(theirs)
                print("%s, %d threads%s: %.0f tokens/s, %.0f MB; PyTorch %.0f, %.0f MB; %.2f times as fast, %.2f of the memory" % (
                    shape, threads, ", one busy process" if a.busy else "", x, memory, y, peak, x / y, memory / peak), flush=True)
    finally:
        if busy:
            busy.kill()


if __name__ == "__main__":
    main()
