#include "b64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters are there, the padding among them. False if bits are set that say nothing. */
static bool flush(struct qt_b64 *b, unsigned char *out, size_t *at)
{
	unsigned n = 3 - b->padding;

	if (b->padding > 0 && b->bits & ((1U << (8 * b->padding)) - 1))
		return false;
	for (unsigned i = 0; i < n; i++)
		out[(*at)++] = (unsigned char)(b->bits >> (16 - 8 * i));
	b->bits = 0;
	b->have = 0;
	return true;
}

ssize_t qt_b64_decode(struct qt_b64 *b, unsigned char *out, const char *in, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		int v = in[i] == '=' ? 0 : value_of(in[i]);

		if (in[i] == '\r' || in[i] == '\n')
			continue;
		if (in[i] == '=') {
			/* The last or the last two of four. */
			if (b->have < 2 || ++b->padding > 2)
				return -1;
		} else if (v < 0 || b->padding > 0) {
			return -1;
		}
		b->bits = b->bits << 6 | (uint32_t)v;
		if (++b->have == 4 && !flush(b, out, &at))
			return -1;
	}
	return (ssize_t)at;
}

bool qt_b64_ended(const struct qt_b64 *b)
{
	return b->have == 0;
}

void qt_b64_encode(char *out, const void *in, size_t len)
{
	const unsigned char *p = in;

	for (; len > 0; p += 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0) | (len > 2 ? p[2] : 0);

		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = len > 1 ? alphabet[v >> 6 & 63] : '=';
		*out++ = len > 2 ? alphabet[v & 63] : '=';
		len -= len > 3 ? 3 : len;
	}
	*out = '\0';
}
