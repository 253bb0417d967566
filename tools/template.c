/* Renders a conversation by a chat template: a model's own, or one in a file.
 *   echo '[{"role":"user","content":"Hi"}]' | build/template -m MODEL.gguf
 */
#include "cli.h"

static const char *file, *messages, *tools, *now;
static int no_prompt;
static const cli_option options[] = {
    CLI_MODEL("the model whose template is used"),
    { "--template", "FILE", CLI_TEXT, &file, 0, 0, NULL,
        "the template instead; bos_token and eos_token are then empty unless the\nmessages' file has them" },
    { "--tools", "FILE", CLI_TEXT, &tools, 0, 0, NULL, "a JSON array of tools" },
    { "--now", "SECONDS", CLI_TEXT, &now, 0, 0, NULL, "since 1970, as the time that the template is told (default: the clock's)" },
    { "--no-generation-prompt", NULL, CLI_FLAG, &no_prompt, 0, 0, NULL, "end after the last message" },
};

int main(int argc, char **argv) {
    lm_chat_desc d; lm_error err; size_t n = 0, cap = 0; char *text = NULL; uint64_t t = 0; lm_status s; const char *what, *p;
    CLI_PARSE("template", "(-m MODEL.gguf | --template FILE) [options] [MESSAGES.json]\nPrints the text of [{\"role\":..., \"content\":...}, ...] (without a file: "
        "of stdin), no newline\nadded. The JSON may also be an object of the template's variables, messages among them.", options, &messages);
    if ((cli.model == NULL) == (file == NULL)) cli_usage("-m, --template: one of them is needed (--help)");
    if (now && !cli_u64(now, strlen(now), &t)) cli_usage("--now: %s is no number of seconds", now);
    memset(&d, 0, sizeof d);
    d.no_generation_prompt = no_prompt; d.now = (int64_t)t; d.hooks.log = cli_log_hook;
    if (cli.model) cli_open_model(1); else d.template_text = cli_read(file, &d.template_bytes);
    if (tools) d.tools_json = cli_read(tools, &d.tools_bytes);
    messages = messages ? messages : "-"; p = cli_read(messages, &n);
    if (p[strspn(p, " \t\r\n")] == '{') { d.extra_json = p; d.extra_bytes = n; } else { d.messages_json = p; d.messages_bytes = n; }
    n = 0;
    while ((s = lm_chat_render(cli.m, &d, text, cap, &n, &err)) == LM_E_FULL && n > cap) text = (char *)cli_grow(text, cap = n);
    what = s == LM_OK ? "" : strncmp(err.text, "messages", 8) == 0 || strncmp(err.text, "extra", 5) == 0 ? messages
        : strncmp(err.text, "tools", 5) == 0 ? tools : file ? file : cli.model;
    if (s != LM_OK) cli_die("%s: %s", what, err.text);
    if (n) fwrite(text, 1, n, stdout);
    free(text); free((void *)(uintptr_t)p); free((void *)(uintptr_t)d.template_text); free((void *)(uintptr_t)d.tools_json);
    return cli_end();
}
