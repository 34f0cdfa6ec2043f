/* What one side writes goes to the other as it is. Each way holds one piece at a time: who reads slowly stops who writes, and nobody's slowness costs memory.
 * The X server may be anything that a tenant runs at its place; it can say what it likes to that tenant's browser, and nothing to anybody else. */
#include "gui.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "blob.h"
#include "buf.h"
#include "cleanup.h"
#include "log.h"
#include "quota.h"
#include "ticket.h"

#define CHUNK	   32768
#define INPUT_MAX  (64U << 10) /* to the X server; then the browser is not read */
#define INPUT_HARD (INPUT_MAX + 65536)

#define WS_NORMAL  1000
#define WS_AWAY	   1001
#define WS_BAD	   1003
#define WS_REFUSED 1008
#define WS_RESTART 1012

struct gui {
	struct gui *next;
	struct sq *sq;
	struct lws *wsi;
	struct qt_id tenant;
	int fd;
	struct sq_watch io;
	struct sq_blob *out; /* on its way to the browser */
	struct qt_buf in;    /* on its way to the X server */
	bool ended;	     /* the X server has no more to say */
	bool counted;
	int closing;	     /* a code of RFC 6455 */
	lws_sorted_usec_list_t end;
};

static struct gui *all;
static char chunk[CHUNK];

static void close_gui(struct gui *g, int code)
{
	if (g->closing)
		return;
	g->closing = code;
	lws_callback_on_writable(g->wsi);
}

static void too_long(lws_sorted_usec_list_t *sul)
{
	close_gui(lws_container_of(sul, struct gui, end), WS_AWAY);
}

/* Only who can take a piece is asked for one. */
static void look(struct gui *g)
{
	uint32_t events = (g->out || g->ended ? 0 : EPOLLIN) | (g->in.len ? EPOLLOUT : 0);

	if (!g->closing)
		sq_watch_change(g->sq, &g->io, events);
}

static void to_browser(struct gui *g)
{
	ssize_t n = recv(g->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		g->out = sq_blob_new(chunk, (size_t)n);
	if (!g->out) {
		g->ended = true;
		close_gui(g, n <= 0 ? WS_NORMAL : WS_AWAY); /* an error is its end, too: killed, with something of ours unread */
	}
	lws_callback_on_writable(g->wsi);
}

static void to_server(struct gui *g)
{
	bool full = g->in.len >= INPUT_MAX;
	ssize_t n = g->in.len ? send(g->fd, g->in.data, g->in.len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		g->in.len = 0; /* that it is gone is read on the other way */
		n = 0;
	}
	if (n > 0) {
		memmove(g->in.data, g->in.data + n, g->in.len - (size_t)n);
		g->in.len -= (size_t)n;
	}
	if (full && g->in.len < INPUT_MAX)
		lws_rx_flow_control(g->wsi, 1);
}

static void on_io(void *arg, uint32_t events)
{
	struct gui *g = arg;

	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		to_server(g);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !g->out && !g->ended)
		to_browser(g);
	look(g);
}

static void gui_free(struct gui *g)
{
	for (struct gui **p = &all; *p; p = &(*p)->next)
		if (*p == g) {
			*p = g->next;
			break;
		}
	lws_sul_cancel(&g->end);
	sq_unwatch(g->sq, &g->io);
	qt_close(g->fd);
	sq_blob_unref(g->out);
	qt_buf_done(&g->in);
	if (g->counted)
		sq_quota_give(&g->tenant);
	free(g);
}

static int begin(struct lws *wsi, struct gui **place)
{
	struct sq *sq = lws_context_user(lws_get_context(wsi));
	struct qt_err e = {0};
	struct qt_begun b;
	struct gui *g;

	if (!sq_ticket_take(wsi, QT_BEGUN_GUI, &b))
		return -1;
	g = calloc(1, sizeof(*g));
	if (!g) {
		qt_begun_done(&b);
		return -1;
	}
	*g = (struct gui){.next = all, .sq = sq, .wsi = wsi, .tenant = b.gui.tenant, .fd = qt_take_fd(&b.gui.fd), .io.fd = -1, .in = QT_BUF(INPUT_HARD)};
	all = g;
	g->counted = sq_quota_take(sq, &g->tenant, &e) == 0;
	if (!g->counted)
		g->closing = WS_REFUSED;
	*place = g;
	return 0;
}

static int established(struct gui *g)
{
	struct qt_err e = {0};

	if (g->closing) {
		lws_callback_on_writable(g->wsi);
		return 0;
	}
	lws_sul_schedule(g->sq->lws, 0, &g->end, too_long, (lws_usec_t)g->sq->conf.gui_session_s * LWS_US_PER_SEC);
	if (sq_watch(g->sq, &g->io, g->fd, EPOLLIN, on_io, g, &e) == 0)
		return 0;
	qt_log_err(QT_LOG_WARN, &e, "a desktop cannot be watched");
	return -1;
}

static int hear(struct gui *g, const void *data, size_t len)
{
	struct qt_err e = {0};

	if (g->closing)
		return 0;
	if (!lws_frame_is_binary(g->wsi)) {
		close_gui(g, WS_BAD);
		return 0;
	}
	if (qt_buf_add(&g->in, data, len, &e) < 0)
		return -1;
	to_server(g);
	if (g->in.len >= INPUT_MAX)
		lws_rx_flow_control(g->wsi, 0);
	look(g);
	return 0;
}

static int write_out(struct gui *g)
{
	struct sq_blob *b = qt_take(&g->out);
	int r;

	if (!b && g->closing) {
		lws_close_reason(g->wsi, (enum lws_close_status)g->closing, NULL, 0);
		return -1;
	}
	if (!b)
		return 0;
	r = lws_write(g->wsi, (unsigned char *)b->data, b->len, LWS_WRITE_BINARY);
	sq_blob_unref(b);
	if (g->closing)
		lws_callback_on_writable(g->wsi);
	look(g);
	return r < 0 ? -1 : 0;
}

int sq_gui_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct gui **place = user, *g = place ? *place : NULL;

	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return place && !g ? begin(wsi, place) : -1;
	case LWS_CALLBACK_ESTABLISHED:
		return g ? established(g) : -1;
	case LWS_CALLBACK_RECEIVE:
		return g ? hear(g, in, len) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return g ? write_out(g) : -1;
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
		if (g) {
			*place = NULL;
			gui_free(g);
		}
		return 0;
	default:
		return 0;
	}
}

unsigned sq_guis_stop(void)
{
	unsigned n = 0;

	for (struct gui *g = all; g; g = g->next, n++)
		close_gui(g, WS_RESTART);
	return n;
}
