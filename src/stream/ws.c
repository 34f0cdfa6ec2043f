/* WebSockets of terminals: between libwebsockets' callbacks and terminal.c. */
#include "terminal_in.h"
#include "ticket.h"

static int begin(struct lws *wsi, struct sq_client **place)
{
	struct sq *sq = lws_context_user(lws_get_context(wsi));
	struct sq_terminal *t;
	struct qt_begun b;

	if (!sq_ticket_take(wsi, QT_BEGUN_TERMINAL, &b))
		return -1;
	t = sq_terminal_of(sq, &b.terminal.session, &b.terminal.ends);
	*place = t ? sq_client_new(t, wsi) : NULL;
	qt_begun_done(&b);
	return *place ? 0 : -1;
}

static int write_one(struct lws *wsi, struct sq_client *c)
{
	bool text = false;
	struct sq_blob *b = sq_client_next(c, &text);
	int code = sq_client_closing(c), r;

	lws_rx_flow_control(wsi, 1);
	if (!b && code) {
		lws_close_reason(wsi, (enum lws_close_status)code, NULL, 0);
		return -1;
	}
	if (!b)
		return 0;
	r = lws_write(wsi, (unsigned char *)b->data, b->len, text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
	sq_blob_unref(b);
	lws_callback_on_writable(wsi);
	return r < 0 ? -1 : 0;
}

int sq_ws_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct sq_client **place = user, *c = place ? *place : NULL;

	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return place && !c ? begin(wsi, place) : -1;
	case LWS_CALLBACK_ESTABLISHED:
		if (!c)
			return -1;
		sq_client_begin(c);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		if (!c)
			return -1;
		if (!sq_client_hear(c, in, len, lws_frame_is_binary(wsi), lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0))
			lws_rx_flow_control(wsi, 0);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return c ? write_one(wsi, c) : -1;
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
		if (c) {
			*place = NULL;
			sq_client_left(c);
		}
		return 0;
	default:
		return 0;
	}
}
