#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

static const char *prog = "quilt";
static enum qt_level floor_level = QT_LOG_INFO;
static const char *const names[] = {"debug", "info", "warn", "error"};

void qt_log_init(const char *name, enum qt_level min)
{
	prog = name;
	floor_level = min;
}

static void put(enum qt_level level, const char *text)
{
	char when[32], line[1400];
	size_t n;

	qt_iso8601(when, sizeof(when), qt_now_ms());
	n = (size_t)snprintf(line, sizeof(line), "ts=%s level=%s proc=%s/%d msg=\"", when, names[level], prog,
			     (int)getpid());
	for (const unsigned char *p = (const unsigned char *)text; *p && n < sizeof(line) - 8; p++) {
		if (*p < 0x20 || *p == 0x7f)
			n += (size_t)snprintf(line + n, sizeof(line) - n, "\\x%02x", *p);
		else if (*p == '"' || *p == '\\')
			line[n++] = '\\', line[n++] = (char)*p;
		else
			line[n++] = (char)*p;
	}
	line[n++] = '"';
	line[n++] = '\n';
	/* One write(2): lines of several processes on one pipe do not mix. A log that cannot be written must not stop us. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

void qt_log(enum qt_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (level < floor_level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put(level, text);
}

void qt_log_err(enum qt_level level, const struct qt_err *e, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	size_t n;

	if (level < floor_level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = strlen(text);
	(void)snprintf(text + n, sizeof(text) - n, " code=%s errno=%d: %s", qt_err_row(e->code)->name, e->sys, e->msg);
	put(level, text);
}
