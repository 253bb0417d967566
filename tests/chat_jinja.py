#!/usr/bin/env python3
"""Chat templates beside jinja2: every template of a folder on a set of conversations, byte for byte.

python3 tests/chat_jinja.py PROGRAM FOLDER [-v]    PROGRAM: build/template

The environment is that of transformers (utils/chat_template_utils.py): trim_blocks, lstrip_blocks, loopcontrols, tojson without HTML escapes,
raise_exception, strftime_now, a `generation` tag that shows its body. A template agrees when each conversation that jinja2 renders gives the
same bytes, and each that it refuses is refused. Ends with `N passed, M failed, K skipped`: one for each template; at least 60 of 70 must agree.
"""
import concurrent.futures, datetime, glob, json, os, subprocess, sys, tempfile
import jinja2, jinja2.ext, jinja2.nodes, jinja2.sandbox

NOW = 1786000000


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])

    def fail(message):
        raise jinja2.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(f)
    return env


TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Weather at a place, <now> & \"later\"", "parameters": {"type": "object",
        "properties": {"location": {"type": "string", "description": "City's name"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                       "days": {"type": "integer", "description": "how many", "minimum": 1}}, "required": ["location"]},
        "return": {"type": "string", "description": "the forecast"}}},
    {"type": "function", "function": {"name": "add", "description": "Adds two numbers", "parameters": {"type": "object", "properties": {
        "a": {"type": "number", "description": "first"}, "b": {"type": "number", "description": "second", "default": 1.5}, "tags": {"type": "array",
        "items": {"type": "string"}, "description": "labels"}, "more": {"type": "object", "properties": {"x": {"type": "boolean", "description": "flag"}}}},
        "required": ["a", "b"]}}},
]
U, S, A = (lambda t: {"role": "user", "content": t}), (lambda t: {"role": "system", "content": t}), (lambda t: {"role": "assistant", "content": t})
ARGS = {"location": "Z\u00fcrich <b>", "days": 3, "exact": 0.1, "list": [1, "two", None, True, {"k": 1e-07}]}


def call(arguments, text="", **more):
    return dict({"role": "assistant", "content": text, "tool_calls": [dict({"id": "call12345", "type": "function", "function": {"name": "get_weather",
        "arguments": arguments}})]}, **more)


RESULT = {"role": "tool", "tool_call_id": "call12345", "name": "get_weather", "content": "{\"temperature\": 21.5}"}
CONVERSATIONS = {
    "user": [U("Hello")],
    "system": [S("You are a helpful assistant."), U("What is 2+2?")],
    "turns": [U("Hi"), A("Hello! How can I help?"), U("Tell me a joke.")],
    "system, turns": [S("Answer briefly."), U("Capital of France?"), A("Paris."), U("And of Spain?"), A("Madrid."), U("Thanks!")],
    "ends with an answer": [U("Hi"), A("Hello!")],
    "odd text": [S("  spaces\n\n"), U("\n a\tb  <|im_end|> </s> {{ x }} {% y %} 'q' \"d\" \u00e9\u4e2d\U0001f600 <think>\n"), A(" x </think> y "), U("")],
    "thoughts": [U("Hi"), A("<think>\nhm\n</think>\n\nHello!"), U("More"), dict(A("Yes."), reasoning_content="because\n"), U("End")],
    "tool call": [U("Weather?"), call(ARGS), RESULT, A("It is 21.5 degrees."), U("Thanks")],
    "tool call, text": [S("Be kind."), U("Weather?"), call(ARGS, "I look."), RESULT],
    "tool call, none": [U("Weather?"), call({}, None), RESULT, U("so?")],
    "tool call, string": [U("Weather?"), call(json.dumps(ARGS)), RESULT, A("ok"), U("and?"), call("{}"), RESULT],
    "two tools": [U("Weather?"), dict(call(ARGS), tool_calls=call(ARGS)["tool_calls"] + [{"id": "call67890", "type": "function", "function": {"name": "add",
        "arguments": {"a": 1, "b": -2.5}}}]), RESULT, {"role": "tool", "tool_call_id": "call67890", "name": "add", "content": "-1.5"}],
    "parts": [U([{"type": "text", "text": "Hello"}, {"type": "text", "text": " there"}]), A([{"type": "text", "text": "Hi"}]), U([{"type": "text", "text": "?"}])],
    "system only": [S("You are a helpful assistant.")],
    "users in a row": [U("one"), U("two")],
}
VARIABLES = [{}, {"tools": None, "documents": None, "enable_thinking": False}, {"enable_thinking": True, "thinking": True, "reasoning_effort": "high", "documents": [{"title": "T", "text": "a\nb"}],
             "xml_tools_in_user": True, "date_string": "26 Jul 2024", "functions": json.dumps(TOOLS), "datetime": "now"}]


def ours(program, template, variables, folder):
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder, delete=False) as f:
        json.dump(variables, f)
    r = subprocess.run([program, "--template", template, "--now", str(NOW), f.name], capture_output=True)
    os.unlink(f.name)
    if r.returncode not in (0, 1):
        return None, "exit %d" % r.returncode
    return (r.stdout.decode("utf-8", "surrogateescape"), None) if r.returncode == 0 else (None, r.stderr.decode().strip())


def compare(program, path, folder):
    """-> number of conversations rendered alike, and a list of what differs"""
    with open(path, newline="", encoding="utf-8") as f:
        source = f.read()
    alike, bad = 0, []
    try:
        template = environment().from_string(source)
    except jinja2.TemplateError as e:
        template = None
        error = str(e)
    for name, messages in CONVERSATIONS.items():
        for tools in (None, TOOLS):
            for more in VARIABLES:
                for prompt in (True, False):
                    v = dict(more, messages=messages, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>")
                    v.update({"tools": tools} if tools else {})
                    want = refused = None
                    try:
                        want = template.render(json.loads(json.dumps(v))) if template else None
                        refused = None if template else error
                    except Exception as e:
                        refused = e
                    got, why = ours(program, path, v, folder)
                    what = "%s%s, %s%s: " % (name, ", tools" if tools else "", list(more)[:1], "" if prompt else ", no prompt")
                    if want is not None and got == want:
                        alike += 1
                    elif want is not None and got is None:
                        bad.append(what + why)
                    elif want is not None:
                        at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
                        bad.append(what + "at %d %r, jinja2 %r" % (at, got[max(at - 20, 0):at + 40], want[max(at - 20, 0):at + 40]))
                    elif got is not None and not isinstance(refused, jinja2.exceptions.SecurityError):
                        bad.append(what + "rendered, jinja2: %r" % refused)
    return alike, bad


def main():
    program, folder = sys.argv[1:3]
    paths = sorted(glob.glob(os.path.join(folder, "*.jinja")))
    agree = 0
    with tempfile.TemporaryDirectory() as scratch, concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, (alike, bad) in zip(paths, pool.map(lambda p: compare(program, p, scratch), paths)):
            agree += alike > 0 and not bad
            if alike == 0 or bad:
                print("  %s: %d alike, %d not: %s" % (os.path.basename(path), alike, len(bad), bad[0] if bad else "nothing rendered"))
                if "-v" in sys.argv:
                    print("".join("      %s\n" % b for b in bad[1:]), end="")
    print("  %d of %d templates as jinja2 %s renders them" % (agree, len(paths), jinja2.__version__))
    failed = agree < 60
    print("%d passed, %d failed, 0 skipped" % (agree, failed))
    return failed


if __name__ == "__main__":
    sys.exit(main())
