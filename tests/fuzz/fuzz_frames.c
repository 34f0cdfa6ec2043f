/* What goes out: whatever a command writes and an event holds, a frame is one line of JSON that says the same bytes, or an SSE frame that says the same
 * text, and nothing that looks like another frame. The first byte says which. */
#include "fuzz.h"

#include <jansson.h>
#include <openssl/evp.h>

#include "cleanup.h"
#include "frames.h"
#include "sse.h"

static void ndjson(const uint8_t *data, size_t size)
{
	auto_buf struct qt_buf b = QT_BUF(1 << 20);
	auto_free unsigned char *back = malloc(size + 4);
	struct qt_err e = {0};
	const char *text;
	json_t *j;

	FUZZ_MUST(back && qt_frame_data(&b, "stdout", data, size, &e) == 0);
	FUZZ_MUST(memchr(b.data, '\n', b.len) == b.data + b.len - 1);
	j = json_loadb(b.data, b.len, 0, NULL);
	text = json_string_value(json_object_get(j, "data_b64"));
	FUZZ_MUST(text && strlen(text) == 4 * ((size + 2) / 3));
	FUZZ_MUST(EVP_DecodeBlock(back, (const unsigned char *)text, (int)strlen(text)) >= (int)size);
	FUZZ_MUST(memcmp(back, data, size) == 0);
	json_decref(j);
}

/* Reads a frame as a browser does: the data of it, with '\n' between the lines. */
static size_t sse_data(const char *frame, size_t len, char *out)
{
	const char *end = frame + len;
	size_t n = 0, lines = 0;

	while (frame < end && *frame != '\n') {
		const char *nl = memchr(frame, '\n', (size_t)(end - frame));

		FUZZ_MUST(nl && !memchr(frame, '\r', (size_t)(nl - frame)));
		if (nl - frame >= 6 && memcmp(frame, "data: ", 6) == 0) {
			if (lines++ > 0)
				out[n++] = '\n';
			memcpy(out + n, frame + 6, (size_t)(nl - frame) - 6);
			n += (size_t)(nl - frame) - 6;
		} else {
			FUZZ_MUST((nl - frame == 8 && memcmp(frame, "event: e", 8) == 0) || (nl - frame == 7 && memcmp(frame, "id: 1-1", 7) == 0));
		}
		frame = nl + 1;
	}
	FUZZ_MUST(frame + 1 == end); /* the empty line, and nothing behind it */
	return n;
}

static void sse(const uint8_t *data, size_t size)
{
	auto_buf struct qt_buf b = QT_BUF(1 << 20);
	auto_free char *out = malloc(size + 1), *want = malloc(size + 1);
	struct qt_err e = {0};
	size_t n = 0;

	FUZZ_MUST(out && want && qt_sse_frame(&b, "e", "1-1", (const char *)data, size, &e) == 0);
	/* Each of \r\n, \r and \n is an end of line there. */
	for (size_t i = 0; i < size; i++) {
		if (data[i] == '\n' && i > 0 && data[i - 1] == '\r')
			continue;
		want[n++] = data[i] == '\r' ? '\n' : (char)data[i];
	}
	FUZZ_MUST(sse_data(b.data, b.len, out) == n && memcmp(out, want, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 65536)
		return 0;
	if (data[0] & 1)
		ndjson(data + 1, size - 1);
	else
		sse(data + 1, size - 1);
	return 0;
}
