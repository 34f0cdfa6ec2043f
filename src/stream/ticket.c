/* A WebSocket must be refused before it is one, and libwebsockets decides at once; so the request goes through the pipeline first, and what it began waits here
 * for the WebSocket, for some seconds. */
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "rnd.h"
#include "str.h"
#include "terminal_in.h"

#define TICKET_MS 15000

struct ticket {
	struct ticket *next;
	char name[33];
	int64_t until;
	struct qt_begun b;
};
static struct ticket *tickets;

int sq_ticket_issue(struct qt_begun *b, char *out, struct qt_err *e)
{
	struct ticket *t = calloc(1, sizeof(*t));
	unsigned char r[16];

	if (!t)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	qt_rnd(r, sizeof(r));
	qt_hex(t->name, r, sizeof(r));
	memcpy(out, t->name, sizeof(t->name));
	t->until = qt_mono_ms() + TICKET_MS;
	t->b = *b;
	b->kind = QT_BEGUN_NOTHING;
	t->next = tickets;
	tickets = t;
	return 0;
}

static void ticket_free(struct ticket *t)
{
	qt_begun_done(&t->b);
	free(t);
}

struct sq_client *sq_ticket_use(struct sq *sq, const char *name, struct lws *wsi)
{
	for (struct ticket **p = &tickets; *p; p = &(*p)->next) {
		struct ticket *k = *p;
		struct sq_terminal *t;
		struct sq_client *c;

		if (!qt_streq(k->name, name))
			continue;
		*p = k->next;
		t = sq_terminal_of(sq, &k->b.terminal.session, &k->b.terminal.ends);
		c = t ? sq_client_new(t, wsi) : NULL;
		ticket_free(k);
		return c;
	}
	return NULL;
}

void sq_tickets_sweep(int64_t now_ms)
{
	for (struct ticket **p = &tickets; *p;) {
		struct ticket *t = *p;

		if (t->until > now_ms) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		ticket_free(t);
	}
}
