"""Makes the folder beside it: a small model, another one that it is compared with and taught by, and what PyTorch says of DPO's and distillation's
losses and gradients. Needs torch and safetensors; no test does.

    python3 tests/torch/make.py

All is computed in float64 from float32 weights, by autograd from the formulas of the papers (arXiv:2305.18290, eq. 7; arXiv:1503.02531, section 2:
the soft part times temperature squared, a teacher's top k renormalized), and stored as float32. With transformers installed its
LlamaForCausalLM must give the same logits. tests/train.py compares `train --reference tests/torch` with it."""
import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
vocab, dim, layers, heads, kv, ff, eps, theta = 40, 12, 2, 2, 1, 20, 1e-5, 10000.0
hd = dim // heads
config = {"architectures": ["LlamaForCausalLM"], "vocab_size": vocab, "hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads,
          "num_key_value_heads": kv, "intermediate_size": ff, "rms_norm_eps": eps, "rope_theta": theta, "tie_word_embeddings": True, "hidden_act": "silu"}
beta = 0.3
cases = [{"name": "warm", "share": 0.7, "temperature": 2.5, "top_k": 6}, {"name": "all", "share": 0.4, "temperature": 1, "top_k": 0}]


def weights(g, near=None):
    """Large enough that no part of the model is nearly linear; near: another model, not far from that one."""
    w = {"model.embed_tokens.weight": (vocab, dim), "model.norm.weight": (dim,)}
    for i in range(layers):
        p = f"model.layers.{i}."
        w.update({p + "input_layernorm.weight": (dim,), p + "post_attention_layernorm.weight": (dim,), p + "self_attn.q_proj.weight": (dim, dim),
                  p + "self_attn.k_proj.weight": (kv * hd, dim), p + "self_attn.v_proj.weight": (kv * hd, dim), p + "self_attn.o_proj.weight": (dim, dim),
                  p + "mlp.gate_proj.weight": (ff, dim), p + "mlp.up_proj.weight": (ff, dim), p + "mlp.down_proj.weight": (dim, ff)})
    r = {n: torch.randn(s, generator=g) for n, s in w.items()}
    return {n: (near[n] + 0.08 * x if near else (1 + 0.2 * x if x.dim() == 1 else 0.4 * x)).float() for n, x in r.items()}


def logits(w, ids):
    """The Llama model in the type of its weights. ids [rows, n]."""
    n, t = ids.shape[1], next(iter(w.values())).dtype
    angle = torch.arange(n, dtype=t)[:, None] * theta ** (-torch.arange(0, hd, 2, dtype=t) / hd)
    cos, sin = torch.cat([angle, angle], 1).cos(), torch.cat([angle, angle], 1).sin()

    def rotated(x):
        return x * cos + torch.cat([-x[..., hd // 2:], x[..., :hd // 2]], -1) * sin

    def norm(x, g):
        return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * g

    def split(x):
        return x.unflatten(-1, (-1, hd)).transpose(1, 2)

    x = w["model.embed_tokens.weight"][ids]
    for i in range(layers):
        def m(name, y, at=f"model.layers.{i}."):
            return y @ w[at + name + ".weight"].T
        h = norm(x, w[f"model.layers.{i}.input_layernorm.weight"])
        q, k, v = rotated(split(m("self_attn.q_proj", h))), rotated(split(m("self_attn.k_proj", h))), split(m("self_attn.v_proj", h))
        k, v = k.repeat_interleave(heads // kv, 1), v.repeat_interleave(heads // kv, 1)
        s = q @ k.transpose(-1, -2) / hd ** 0.5
        a = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), float("-inf")).softmax(-1) @ v
        x = x + m("self_attn.o_proj", a.transpose(1, 2).flatten(-2))
        h = norm(x, w[f"model.layers.{i}.post_attention_layernorm.weight"])
        x = x + m("mlp.down_proj", F.silu(m("mlp.gate_proj", h)) * m("mlp.up_proj", h))
    return norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T


def of_targets(z, targets):
    """ln p of the targets, 0 where none counts."""
    return torch.where(targets >= 0, z.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0], 0.0)


def dpo(policy, base, ids, targets):
    ours, theirs = (of_targets(logits(w, ids), targets).sum(-1) for w in (policy, base))
    margins = beta * ((ours[0::2] - theirs[0::2]) - (ours[1::2] - theirs[1::2]))
    return -F.logsigmoid(margins).mean(), margins


def distill(student, teacher, ids, targets, share, temperature, top_k):
    z, hard, on = logits(student, ids), 0, targets >= 0
    with torch.no_grad():
        at = logits(teacher, ids).topk(top_k or vocab)
        p = (at.values / temperature).softmax(-1)
    q = (z / temperature).log_softmax(-1).gather(-1, at.indices)
    hard, soft = -of_targets(z, targets), temperature ** 2 * (p * (p.log() - q)).sum(-1)
    return ((1 - share) * hard + share * soft)[on].mean()


def grads(loss, w, path):
    loss.backward()
    save_file({n: x.grad.float().contiguous() for n, x in w.items()}, os.path.join(here, path))
    for x in w.values():
        x.grad = None


def write(path, value):
    with open(os.path.join(here, path), "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def main():
    g = torch.Generator().manual_seed(7)
    for folder in ("policy", "base", "dpo", "distill"):
        os.makedirs(os.path.join(here, folder), exist_ok=True)
    base = weights(g)
    policy = weights(g, base)
    for name, w in (("policy", policy), ("base", base)):
        save_file(w, os.path.join(here, name, "model.safetensors"))
        write(name + "/config.json", config)
    ids = torch.randint(vocab, (6, 19), generator=g)
    targets = torch.cat([ids[:, 1:], torch.randint(vocab, (6, 1), generator=g)], 1)
    prompt = [5, 5, 3, 3, 9, 9]                             # tokens before the answer, which do not count; the two of a pair begin alike
    for i, n in enumerate(prompt):
        ids[i, :n], targets[i, :n - 1] = ids[i - i % 2, :n], -100
    targets[1, 15:], targets[4, 17:] = -100, -100           # answers of different lengths
    save_file({"input_ids": ids.int(), "targets": targets.int()}, os.path.join(here, "dpo/batch.safetensors"))
    double = [{n: x.double().requires_grad_(w is policy) for n, x in w.items()} for w in (policy, base)]
    try:
        import transformers
        m = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{k: v for k, v in config.items() if k != "architectures"})).double()
        m.load_state_dict(double[0], strict=False)
        print("transformers' logits differ by at most %.1e" % (m(ids).logits - logits(double[0], ids)).abs().max().item())
    except ImportError:
        print("transformers is not installed: not compared")
    loss, margins = dpo(*double, ids, targets)
    grads(loss, double[0], "dpo/grads.safetensors")
    write("dpo/config.json", {"beta": beta})
    write("dpo/loss.json", {"first": dpo(double[1], double[1], ids, targets)[0].item(), "loss": loss.item(), "margins": margins.tolist()})
    targets = torch.where(torch.rand(6, 19, generator=g) < 0.2, -100, targets)
    save_file({"input_ids": ids.int(), "targets": targets.int()}, os.path.join(here, "distill/batch.safetensors"))
    losses = {}
    for c in cases:
        loss = distill(*double, ids, targets, c["share"], c["temperature"], c["top_k"])
        losses[c["name"]] = loss.item()
        grads(loss, double[0], f"distill/{c['name']}.safetensors")
    write("distill/config.json", {"cases": cases})
    write("distill/loss.json", losses)


main()
