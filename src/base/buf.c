#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

char *qt_buf_room(struct qt_buf *b, size_t len, struct qt_err *e)
{
	size_t want, cap = b->cap ? b->cap : 256;
	char *p;

	if (__builtin_add_overflow(b->len, len, &want) || want > b->max) {
		(void)qt_fail(e, QT_E_PAYLOAD_TOO_LARGE, "more than %zu bytes", b->max);
		return NULL;
	}
	while (cap < want + 1)
		cap *= 2;
	if (cap > b->cap) {
		p = realloc(b->data, cap);
		if (!p) {
			(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
			return NULL;
		}
		b->data = p;
		b->cap = cap;
	}
	return b->data + b->len;
}

int qt_buf_add(struct qt_buf *b, const void *data, size_t len, struct qt_err *e)
{
	char *p = qt_buf_room(b, len, e);

	if (!p)
		return -1;
	if (len > 0)
		memcpy(p, data, len);
	p[len] = '\0';
	b->len += len;
	return 0;
}

int qt_buf_str(struct qt_buf *b, const char *text, struct qt_err *e)
{
	return qt_buf_add(b, text, strlen(text), e);
}

int qt_buf_fmt(struct qt_buf *b, struct qt_err *e, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "bad format");
	p = qt_buf_room(b, (size_t)n, e);
	if (!p)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void qt_buf_done(struct qt_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}
