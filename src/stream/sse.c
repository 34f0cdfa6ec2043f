#include "sse.h"

#include <string.h>

static size_t line_len(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && s[n] != '\n' && s[n] != '\r')
		n++;
	return n;
}

int qt_sse_frame(struct qt_buf *b, const char *event, const char *id, const char *data, size_t len, struct qt_err *e)
{
	if (event && qt_buf_fmt(b, e, "event: %s\n", event) < 0)
		return -1;
	if (id && qt_buf_fmt(b, e, "id: %s\n", id) < 0)
		return -1;
	for (;;) {
		size_t n = line_len(data, len);

		if (qt_buf_str(b, "data: ", e) < 0 || qt_buf_add(b, data, n, e) < 0 || qt_buf_str(b, "\n", e) < 0)
			return -1;
		if (n == len)
			return qt_buf_str(b, "\n", e);
		/* "\r\n" is one break. */
		n += data[n] == '\r' && n + 1 < len && data[n + 1] == '\n' ? 2 : 1;
		data += n;
		len -= n;
	}
}
