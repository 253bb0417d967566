/* FNV-1a of the logits of SmolLM2-135M-Instruct (tiny.c: logit_sums): as fetched, and made from it by tests/requantize.py; after 4, 24 and 520 tokens;
 * each with the defaults, with float32 arithmetic and cache, and with a q8_0 cache. Made by `build/sums --print FILE NAME`. */
    { "smollm2-q4_1", { { 0x72ebb3b30b60bf6f, 0xbd3b0ba83847dd2f, 0xf28c9553de0e85c7 }, { 0xcabf7df562deb692, 0xa4f6302fd67e49f9, 0xf33f4fb5377d5de6 }, { 0xcb87233bb1756cfd, 0x64b98d173260b9fd, 0xc1661e4851ddf4da } } },
    { "smollm2-q8_0", { { 0x2889e4c201e7dd25, 0xf00155fd701807ec, 0x472d5dad264bc60e }, { 0xb8f941f3d9a56581, 0x5f724a5daa41f419, 0x7398a503e7a57222 }, { 0xbf15f8f6b99fd1c8, 0xc6ac0902be3168da, 0xfbef6fa5f4140458 } } },
    { "smollm2-f16", { { 0xbfaac5a9a579ff4c, 0x2d83c7ab23c87107, 0x2542d5e1e0c56706 }, { 0x7b04e143941c0b64, 0x46a39f88895680df, 0xe33df3234237151c }, { 0x45f602d727b52b20, 0xc94315c4d25a0bfe, 0x60df5d554781a4d7 } } },
