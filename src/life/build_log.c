/* What steps write, on its way into Redis: in pieces of some size, since each is a write to disk there. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "str.h"

#define PIECE	 4096
#define WAIT_MS	 500

/* Whole lines, if there is one. */
static void write_piece(struct qt_build *b, bool all)
{
	size_t len = b->log.len < PIECE ? b->log.len : PIECE, cut = len, n;
	char text[3 * PIECE + 1];
	struct qt_err ignored = {0};

	while (!all && cut > 0 && b->log.data[cut - 1] != '\n')
		cut--;
	cut = cut > 0 ? cut : len;
	n = qt_utf8_mend(text, b->log.data, cut);
	for (size_t i = 0; i < n; i++)
		if (text[i] == '\r' || text[i] == '\0')
			text[i] = text[i] ? '\n' : '?';
	/* One that cannot be written now is lost, and nothing else. */
	(void)qt_store_op_log(b->l->store, b->o, b->log_stream, b->step, text, &ignored);
	memmove(b->log.data, b->log.data + cut, b->log.len - cut);
	b->log.len -= cut;
}

void qt_build_log_flush(struct qt_build *b)
{
	while (b->log.len > 0)
		write_piece(b, b->log.len <= PIECE);
}

void qt_build_log_tick(struct qt_build *b)
{
	if (b->log.len > 0 && qt_mono_ms() - b->log_since > WAIT_MS)
		qt_build_log_flush(b);
}

void qt_build_log(struct qt_build *b, const char *stream, const char *text, size_t len)
{
	struct qt_err ignored = {0};

	if (b->log.max == 0)
		b->log = QT_BUF(8 * PIECE);
	if (b->log_stream && !qt_streq(b->log_stream, stream))
		qt_build_log_flush(b);
	b->log_stream = stream;
	while (len > 0) {
		size_t n = len < PIECE ? len : PIECE;

		if (b->log.len == 0)
			b->log_since = qt_mono_ms();
		if (qt_buf_add(&b->log, text, n, &ignored) < 0)
			return;
		text += n;
		len -= n;
		while (b->log.len >= PIECE)
			write_piece(b, false);
	}
	qt_build_log_tick(b);
}

void qt_build_say(struct qt_build *b, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = (int)strlen(text);
	text[n++] = '\n';
	qt_build_log(b, "build", text, (size_t)n);
	qt_build_log_flush(b);
}
