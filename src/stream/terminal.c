/* A terminal is read from our first sight of it on, whether anybody is attached or not: the last of what it shows is kept for whoever comes. Its master end, its
 * process and what it showed are the container's init's, so that our death, or a restart, costs nothing (termkeep.c takes them up again). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "str.h"
#include "terminal_in.h"

#define CHUNK	   16384
#define LAST_READS 4 /* of what is left when the shell has ended */
#define BUCKETS	   256

static struct sq_terminal *terminals[BUCKETS];
static char chunk[CHUNK];

static struct sq_terminal **place_of(const struct qt_id *id)
{
	uint32_t h = 0;
	struct sq_terminal **p;

	for (const char *s = id->s; *s; s++)
		h = h * 31 + (unsigned char)*s;
	for (p = &terminals[h % BUCKETS]; *p && !qt_streq((*p)->x.id.s, id->s); p = &(*p)->next)
		continue;
	return p;
}

struct sq_terminal *sq_terminal_find(const struct qt_id *id)
{
	return *place_of(id);
}

void sq_terminal_each(void (*fn)(struct sq_terminal *t))
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct sq_terminal *t = terminals[i]; t; t = t->next)
			fn(t);
}

void sq_terminal_active(struct sq_terminal *t)
{
	t->x.last_ms = qt_now_ms();
	t->dirty = true;
}

static void look_for(struct sq_terminal *t)
{
	if (!t->hung_up)
		sq_watch_change(t->sq, &t->io, (t->paused ? 0 : EPOLLIN) | (t->input.len ? EPOLLOUT : 0));
}

/* False when there is no more at present. */
static bool read_some(struct sq_terminal *t)
{
	ssize_t n = read(t->ends.master, chunk, CHUNK);
	struct sq_blob *b;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* EIO: nobody has the other end open */
		t->hung_up = true;
		sq_unwatch(t->sq, &t->io);
		return false;
	}
	sq_terminal_active(t);
	sq_scroll_add(&t->scroll, chunk, (size_t)n);
	if (t->first) {
		b = sq_blob_new(chunk, (size_t)n);
		sq_clients_show(t, b);
		sq_blob_unref(b);
	}
	return true;
}

static void write_some(struct sq_terminal *t)
{
	ssize_t n = t->input.len ? write(t->ends.master, t->input.data, t->input.len) : 0;

	if (n <= 0)
		return;
	memmove(t->input.data, t->input.data + n, t->input.len - (size_t)n);
	t->input.len -= (size_t)n;
	if (t->input.len == 0)
		sq_writer_wake(t);
}

static void on_io(void *arg, uint32_t events)
{
	struct sq_terminal *t = arg;

	if (events & EPOLLOUT)
		write_some(t);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		(void)read_some(t);
	t->paused = sq_writer_queued(t) > SQ_TERM_QUEUE_MAX;
	look_for(t);
}

void sq_terminal_go_on(struct sq_terminal *t)
{
	if (!t->paused)
		return;
	t->paused = false;
	look_for(t);
}

bool sq_terminal_type(struct sq_terminal *t, const void *data, size_t len)
{
	struct qt_err e = {0};

	sq_terminal_active(t);
	if (qt_buf_add(&t->input, data, len, &e) < 0)
		return false;
	write_some(t);
	if (t->input.len > 0)
		look_for(t);
	return t->input.len < SQ_TERM_INPUT_MAX;
}

void sq_terminal_resize(struct sq_terminal *t, unsigned cols, unsigned rows)
{
	const struct winsize w = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};

	if (ioctl(t->ends.master, TIOCSWINSZ, &w) < 0)
		return;
	t->x.cols = cols;
	t->x.rows = rows;
	sq_terminal_record(t, false);
}

/* SIGINT goes where Ctrl-C goes: to the terminal's foreground, which nobody outside can name. */
void sq_terminal_signal(struct sq_terminal *t, int sig)
{
	struct qt_err e = {0};

	if (sig != SIGINT || ioctl(t->ends.master, TIOCSIG, sig) < 0)
		(void)mi_signal(t->ends.conn, sig, &e);
}

static void terminal_free(struct sq_terminal *t)
{
	sq_unwatch(t->sq, &t->end);
	sq_unwatch(t->sq, &t->io);
	qt_terminal_done(&t->ends);
	sq_scroll_done(&t->scroll);
	qt_buf_done(&t->input);
	free(t);
}

/* Its clients hear of it, and it is forgotten here and everywhere. */
static void finish(struct sq_terminal *t, json_t *last)
{
	struct sq_terminal **p = place_of(&t->x.id);

	for (unsigned i = 0; i < LAST_READS && !t->hung_up && read_some(t); i++)
		continue;
	sq_clients_end(t, last);
	sq_terminal_record(t, true);
	if (*p == t)
		*p = t->next;
	terminal_free(t);
}

static json_t *exit_frame(int code, int sig)
{
	const char *name = sig > 0 ? sigabbrev_np(sig) : NULL;

	return json_pack("{s:s, s:i, s:o}", "type", "exit", "code", code, "signal", name ? json_sprintf("SIG%s", name) : json_null());
}

static void on_end(void *arg, uint32_t events)
{
	struct sq_terminal *t = arg;
	struct qt_err e = {0};
	int code = 0, sig = 0, r = mi_exec_wait(t->ends.conn, 0, &code, &sig, &e);

	(void)events;
	if (r == 0)
		sq_watch_change(t->sq, &t->end, EPOLLIN);
	else if (r > 0)
		finish(t, exit_frame(code, sig));
	else
		finish(t, json_pack("{s:s, s:s, s:s}", "type", "error", "code", "CONTAINER_ENDED", "message", "the container ended"));
}

struct sq_terminal *sq_terminal_of(struct sq *sq, const struct qt_session *x, struct qt_terminal *ends)
{
	struct sq_terminal **p = place_of(&x->id), *t = *p;
	struct qt_err e = {0};

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct sq_terminal){.sq = sq, .x = *x, .ends = *ends, .end.fd = -1, .io.fd = -1, .scroll.fd = -1,
				  .input = QT_BUF(SQ_TERM_INPUT_MAX + 65536)};
	*ends = QT_TERMINAL_NONE;
	if (sq_scroll_open(&t->scroll, qt_take_fd(&t->ends.scroll), &e) < 0 ||
	    sq_watch(sq, &t->end, t->ends.conn, EPOLLIN, on_end, t, &e) < 0 ||
	    sq_watch(sq, &t->io, t->ends.master, EPOLLIN, on_io, t, &e) < 0) {
		terminal_free(t);
		return NULL;
	}
	*p = t;
	return t;
}

static void restart(struct sq_terminal *t)
{
	sq_clients_close(t, SQ_WS_RESTART);
}

unsigned sq_terminals_stop(void)
{
	sq_terminal_each(restart);
	return sq_client_count();
}
