/* FNV-1a of the logits of SmolLM2-135M-Instruct (tiny.c: logit_sums): as fetched, and made from it by tests/requantize.py; after 4, 24 and 520 tokens;
 * each with the defaults, and with float32 arithmetic and cache. Made by `build/sums --print FILE NAME`. */
    { "smollm2-q4_1", { { 0xd281d6f5a5464bca, 0xbd3b0ba83847dd2f }, { 0x2568c978fcc5d140, 0xa4f6302fd67e49f9 }, { 0xd5be808b54280457, 0x64b98d173260b9fd } } },
    { "smollm2-q8_0", { { 0x2889e4c201e7dd25, 0xf00155fd701807ec }, { 0xb8f941f3d9a56581, 0x5f724a5daa41f419 }, { 0xbf15f8f6b99fd1c8, 0xc6ac0902be3168da } } },
    { "smollm2-f16", { { 0xbfaac5a9a579ff4c, 0x2d83c7ab23c87107 }, { 0x7b04e143941c0b64, 0x46a39f88895680df }, { 0x45f602d727b52b20, 0xc94315c4d25a0bfe } } },
