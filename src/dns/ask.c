#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "feed.h"
#include "server.h"

#define PARK_MS 1000 /* how long a question waits for the feed: for the reading that decides it, or for one that knows who asks */

struct dns_ask *dns_ask_new(struct dns_server *s, const struct dns_client *c, const struct dns_query *q)
{
	struct dns_source *of = dns_source(s, c);
	struct dns_ask *a;

	if (s->n_asks >= DNS_ASKS_MAX || of->asks >= DNS_ASKS_OF_ONE)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	*a = (struct dns_ask){.s = s, .client = *c, .q = *q, .fd = -1, .next = s->asks, .at = &s->asks};
	if (s->asks)
		s->asks->at = &a->next;
	s->asks = a;
	s->n_asks++;
	of->asks++;
	return a;
}

static void release(void *arg)
{
	free(arg);
}

void dns_ask_end(struct dns_ask *a)
{
	struct dns_server *s = a->s;

	*a->at = a->next;
	if (a->next)
		a->next->at = a->at;
	s->n_asks--;
	dns_source(s, &a->client)->asks--;
	rt_timer_clear(s->loop, &a->timer);
	rt_loop_del(s->loop, &a->watch);
	qt_reset_fd(&a->fd, -1);
	free(qt_take(&a->buf));
	rt_loop_later(s->loop, &a->release, release, a);
}

static uint32_t source_of(const struct dns_ask *a)
{
	return ntohl(a->client.from.sin_addr.s_addr);
}

/* Decided anew, and whatever that says. */
static void decide_again(void *arg)
{
	struct dns_ask *a = arg;
	char text[DNS_TEXT_MAX];
	struct dns_answer ans;

	(void)dns_decide(&a->s->view, source_of(a), &a->q, text, &ans);
	dns_send_answer(a->s, &a->client, &a->q, &ans);
	dns_ask_end(a);
}

void dns_park(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, const struct dns_answer *otherwise)
{
	struct dns_ask *a = dns_ask_new(s, c, q);
	struct qt_err e = {0};

	if (a && rt_timer_set(s->loop, &a->timer, PARK_MS, decide_again, a, &e) == 0) {
		a->ticket = dns_feed_want(s->feed);
		return;
	}
	if (a)
		dns_ask_end(a);
	dns_send_answer(s, c, q, otherwise);
}

void dns_unpark(struct dns_server *s, uint64_t ended)
{
	for (struct dns_ask *a = s->asks, *next; a; a = next) {
		next = a->next;
		if (a->ticket == 0 || a->ticket > ended)
			continue;
		/* A container's command begins before its record says that it runs, by as long as the disks and whoever writes the record take. Such
		 * questions share their readings, too, and the feed pauses between any two. */
		if (!dns_zone_at(s->view.zone, source_of(a)))
			a->ticket = dns_feed_want(s->feed);
		else
			decide_again(a);
	}
}
