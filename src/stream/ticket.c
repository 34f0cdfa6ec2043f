#include "ticket.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "rnd.h"
#include "str.h"

#define TICKET_MS 15000

struct ticket {
	struct ticket *next;
	char name[33];
	int64_t until;
	struct qt_begun b;
};

static struct ticket *all;

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
	t->next = all;
	all = t;
	return 0;
}

bool sq_ticket_take(struct lws *wsi, enum qt_begun_kind kind, struct qt_begun *ret)
{
	static const char header[] = "x-quilt-ticket:";
	char name[64];

	if (lws_hdr_custom_copy(wsi, name, sizeof(name), header, (int)sizeof(header) - 1) <= 0)
		return false;
	for (struct ticket **p = &all; *p; p = &(*p)->next) {
		struct ticket *t = *p;

		if (t->b.kind != kind || !qt_streq(t->name, name))
			continue;
		*p = t->next;
		*ret = t->b;
		free(t);
		return true;
	}
	return false;
}

void sq_tickets_sweep(int64_t now_ms)
{
	for (struct ticket **p = &all; *p;) {
		struct ticket *t = *p;

		if (t->until > now_ms) {
			p = &t->next;
			continue;
		}
		*p = t->next;
		qt_begun_done(&t->b);
		free(t);
	}
}
