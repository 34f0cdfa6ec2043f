/* What the resolver decides, and that it reads whatever comes. */
#include <ctype.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "answer.h"
#include "cleanup.h"
#include "fdio.h"
#include "feed.h"
#include "server.h"
#include "str.h"

static struct qt_id T1, T2;
static struct dns_zone *zone;
static struct dns_view view = {.domain = "quilt.internal", .subnet = {0x0a2a0000, 16}};

static void add(const struct qt_id *tenant, uint32_t ip, const char *name)
{
	struct dns_host h = {.ip = ip, .tenant = *tenant};
	struct qt_err e = {0};

	assert_true(qt_copy(h.name, sizeof(h.name), name));
	assert_int_equal(dns_zone_add(zone, &h, &e), 0);
}

static int setup(void **state)
{
	struct qt_err e = {0};

	(void)state;
	T1 = qt_id_new("ten");
	T2 = qt_id_new("ten");
	assert_int_equal(dns_zone_new(&zone, &e), 0);
	add(&T1, 0x0a2a0001, "web");
	add(&T1, 0x0a2a0002, "Db");
	add(&T1, 0x0a2a0003, "WEB");
	add(&T1, 0x0a2a0004, "api.v2");
	add(&T2, 0x0a2a0005, "web");
	add(&T2, 0x0a2a0006, "secret");
	for (uint32_t i = 0; i < 1000; i++) {
		char name[32];

		(void)qt_fmt(name, sizeof(name), "n%u", i);
		add(&T2, 0x0a2a1000 + i, name);
	}
	dns_zone_seal(zone);
	view.zone = zone;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dns_zone_free(zone);
	return 0;
}

static size_t ask(uint8_t *out, const char *name, unsigned type)
{
	size_t at = 12;

	memset(out, 0, 12);
	out[0] = 0xab;
	out[2] = 1;
	out[5] = 1;
	while (*name) {
		size_t n = strcspn(name, ".");

		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	out[at++] = 0;
	out[at++] = (uint8_t)(type >> 8);
	out[at++] = (uint8_t)type;
	out[at++] = 0;
	out[at++] = 1;
	return at;
}

enum { FWD = -1, UNKNOWN = -2 };

/* What is decided: FWD, UNKNOWN, or a code; *IP of the answer. */
static int decide(uint32_t source, const char *name, unsigned type, uint32_t *ip)
{
	uint8_t wire[512], out[DNS_UDP_MAX];
	char text[DNS_TEXT_MAX];
	struct dns_answer a = {0};
	struct dns_query q;
	enum dns_way w;
	size_t len;

	assert_int_equal(dns_query_read(&q, wire, ask(wire, name, type)), DNS_NOERROR);
	w = dns_decide(&view, source, &q, text, &a);
	if (w == DNS_FORWARD)
		return FWD;
	len = dns_answer_write(&q, &a, out, sizeof(out));
	assert_true(len >= 12 && out[0] == 0xab && (out[2] & 0x80) && (out[3] & 15) == a.rcode && !(out[2] & 2));
	/* At 512 and below it is whole, or cut to its question. */
	for (size_t max = 0; max < len; max++) {
		size_t n = dns_answer_write(&q, &a, out, max);

		assert_true(n <= max && (n == 0 || (out[2] & 2)));
	}
	*ip = a.ip;
	return w == DNS_UNKNOWN ? UNKNOWN : a.rcode;
}

static void names(void **state)
{
	static const struct {
		uint32_t source;
		const char *name;
		unsigned type;
		int want;
		uint32_t ip;
	} rows[] = {
		{0x0a2a0001, "web", DNS_A, 0, 0x0a2a0001},
		{0x0a2a0001, "WEB", DNS_A, 0, 0x0a2a0001},
		{0x0a2a0001, "db", DNS_A, 0, 0x0a2a0002},
		{0x0a2a0001, "Web.Quilt.Internal", DNS_A, 0, 0x0a2a0001},
		{0x0a2a0005, "web.quilt.internal", DNS_A, 0, 0x0a2a0005},
		{0x0a2a1007, "n999", DNS_A, 0, 0x0a2a1000 + 999},
		{0x0a2a0001, "api.v2.quilt.internal", DNS_A, 0, 0x0a2a0004},
		{0x0a2a0001, "web", DNS_AAAA, 0, 0},
		{0x0a2a0001, "web.quilt.internal", 16, 0, 0},
		{0x0a2a0001, "quilt.internal", DNS_SOA, 0, 0},
		{0x0a2a0001, "secret", DNS_A, UNKNOWN, 0},	 /* another tenant's: as if it were not there */
		{0x0a2a0001, "n1.quilt.internal", DNS_A, UNKNOWN, 0},
		{0x0a2a0001, "nobody", DNS_AAAA, UNKNOWN, 0},
		{0x0a2a9999, "web", DNS_A, UNKNOWN, 0},		 /* whose is that? */
		{0x0a2a0001, "api.v2", DNS_A, FWD, 0},		 /* a bare name has one label */
		{0x0a2a0001, "www.example.org", DNS_A, FWD, 0},
		{0x0a2a9999, "www.example.org", DNS_A, FWD, 0},
		{0x0a2a0001, "notquilt.internal", DNS_A, FWD, 0},
		{0x0a2a0001, "org", 48, FWD, 0},
		{0x0a2a0001, "www.example.org", DNS_ANY, DNS_NOTIMP, 0},
		{0x0a2a0001, "localhost", DNS_A, 0, 0x7f000001},
		{0x0a2a0001, "a.localhost", DNS_AAAA, 0, 0},
		{0x0a2a0001, "2.0.42.10.in-addr.arpa", DNS_PTR, 0, 0},
		{0x0a2a0001, "6.0.42.10.in-addr.arpa", DNS_PTR, DNS_NXDOMAIN, 0}, /* another tenant's */
		{0x0a2a0001, "200.200.42.10.in-addr.arpa", DNS_PTR, UNKNOWN, 0},
		{0x0a2a0001, "1.1.1.1.in-addr.arpa", DNS_PTR, FWD, 0},
		{0x0a2a0001, "1.1.in-addr.arpa", DNS_PTR, FWD, 0},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		uint32_t ip = 0;
		int got = decide(rows[i].source, rows[i].name, rows[i].type, &ip);

		if (got != rows[i].want || ip != rows[i].ip)
			fail_msg("%s (%u): %d, %08x", rows[i].name, rows[i].type, got, ip);
	}
}

static void empty_zone(void **state)
{
	struct dns_zone *none;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(dns_zone_new(&none, &e), 0);
	dns_zone_seal(none);
	assert_null(dns_zone_at(none, 0x0a2a0001));
	assert_null(dns_zone_find(none, &T1, "web"));
	assert_int_equal(dns_zone_count(none), 0);
	dns_zone_free(none);
}

static bool hidden(uint32_t ip, void *arg)
{
	(void)arg;
	return ip >> 24 == 127;
}

static void replies(void **state)
{
	uint8_t wire[512], reply[600];
	struct dns_query q, other;
	size_t n, m;

	(void)state;
	assert_int_equal(dns_query_read(&q, wire, ask(wire, "www.example.org", DNS_A)), 0);
	assert_int_equal(dns_query_read(&other, wire, ask(wire, "www.example.com", DNS_A)), 0);
	n = dns_question_write(&q, 0x1234, reply, sizeof(reply));
	assert_true(n > 12);
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, n, hidden, NULL), DNS_NOT_OURS); /* a question */
	reply[2] |= 0x80;
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, n, hidden, NULL), DNS_GOOD);
	assert_int_equal(dns_reply_check(&q, 0x1235, reply, n, hidden, NULL), DNS_NOT_OURS);
	assert_int_equal(dns_reply_check(&other, 0x1234, reply, n, hidden, NULL), DNS_NOT_OURS);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(dns_reply_check(&q, 0x1234, reply, cut, hidden, NULL), DNS_NOT_OURS);
	/* An address, of which the last byte but three decides. */
	memcpy(reply + n, "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x01\x02\x03\x04", 16);
	reply[7] = 1;
	m = n + 16;
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, m, hidden, NULL), DNS_GOOD);
	reply[m - 4] = 127;
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, m, hidden, NULL), DNS_BAD);
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, m - 1, hidden, NULL), DNS_BAD);
	reply[2] |= 2;
	assert_int_equal(dns_reply_check(&q, 0x1234, reply, m - 1, hidden, NULL), DNS_GOOD);
	assert_int_equal(dns_cut(reply, &q), n);
	assert_true(reply[7] == 0 && (reply[2] & 2));
}

/* --- whatever comes -------------------------------------------------------------------------------------- */

/* All of the way that a message takes. The code of its reading. */
static int take(const uint8_t *wire, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1), out[DNS_UDP_MAX]; /* so that a byte too far is seen */
	char text[DNS_TEXT_MAX];
	struct dns_answer a = {0};
	struct dns_query q;
	int code;

	assert_non_null(exact);
	memcpy(exact, wire, len);
	code = dns_query_read(&q, exact, len);
	if (code >= 0) {
		a.rcode = code;
		if (code == 0 && dns_decide(&view, 0x0a2a0001, &q, text, &a) == DNS_FORWARD)
			assert_true(dns_question_write(&q, 7, out, sizeof(out)) > 12);
		assert_true(dns_answer_write(&q, &a, out, sizeof(out)) >= 12);
		(void)dns_reply_check(&q, q.id, exact, len, hidden, NULL);
	}
	free(exact);
	return code;
}

static size_t from_hex(uint8_t *out, const char *p, size_t len)
{
	size_t n = 0;
	int half = -1;

	for (size_t i = 0; i < len; i++) {
		int v = isdigit((unsigned char)p[i]) ? p[i] - '0' : isxdigit((unsigned char)p[i]) ? p[i] - 'a' + 10 : -1;

		if (v < 0)
			continue;
		if (half >= 0)
			out[n++] = (uint8_t)(half << 4 | v);
		half = half >= 0 ? -1 : v;
	}
	return n;
}

static void corpus(void **state)
{
	auto_free char *text = malloc(1 << 16);
	struct qt_err e = {0};
	unsigned lines = 0;

	(void)state;
	assert_true(qt_read_file(AT_FDCWD, QT_SRCDIR "/tests/unit/dns_corpus.txt", text, 1 << 16, &e) > 0);
	for (char *line = text; *line; lines++) {
		size_t len = strcspn(line, "\n"), word = strcspn(line, " \n");
		uint8_t wire[512];
		size_t n = from_hex(wire, line + word, len - word);
		int want = qt_starts(line, "drop") ? -1 : line[0] - '0';

		if (line[0] != '#') {
			if (take(wire, n) != want)
				fail_msg("%.*s: %d", (int)len, line, take(wire, n));
		}
		line += len + (line[len] == '\n');
	}
	assert_true(lines > 20);
}

/* --- who waits for a reading ------------------------------------------------------------------------------ */

static struct dns_source sources[1];
static uint64_t begun; /* readings of the feed */
static unsigned answers;
static struct dns_answer last;

struct dns_source *dns_source(struct dns_server *s, const struct dns_client *c)
{
	(void)s, (void)c;
	return &sources[0];
}

uint64_t dns_feed_want(struct dns_feed *f)
{
	(void)f;
	return begun + 1;
}

void dns_send_answer(struct dns_server *s, const struct dns_client *c, const struct dns_query *q, const struct dns_answer *a)
{
	(void)c, (void)q;
	last = *a;
	if (++answers == 2)
		rt_loop_stop(s->loop);
}

static void park(struct dns_server *s, uint32_t source, const char *name)
{
	const struct dns_client c = {.from.sin_addr.s_addr = htonl(source)};
	char text[DNS_TEXT_MAX];
	struct dns_answer a;
	struct dns_query q;
	uint8_t wire[512];

	assert_int_equal(dns_query_read(&q, wire, ask(wire, name, DNS_A)), DNS_NOERROR);
	assert_int_equal(dns_decide(&s->view, source, &q, text, &a), DNS_UNKNOWN);
	dns_park(s, &c, &q, &a);
}

/* A name that is not there is so after one reading. Whoever is not there himself has only just begun: until he is, or for so long as may be. */
static void who_asks_is_waited_for(void **state)
{
	struct dns_server s = {.view = view};
	struct dns_zone *before, *after = zone;
	struct qt_err e = {0};

	(void)state;
	assert_int_equal(dns_zone_new(&before, &e), 0);
	dns_zone_seal(before);
	assert_int_equal(rt_loop_open(&s.loop, &e), 0);
	park(&s, 0x0a2a0001, "nobody");
	dns_unpark(&s, begun);
	assert_int_equal(answers, 0);
	dns_unpark(&s, ++begun);
	assert_true(answers == 1 && last.rcode == DNS_NXDOMAIN);
	rt_loop_close(s.loop); /* what it was asked with is released */

	answers = 0;
	s = (struct dns_server){.view = view};
	s.view.zone = before;
	assert_int_equal(rt_loop_open(&s.loop, &e), 0);
	park(&s, 0x0a2a0001, "web");
	park(&s, 0x0a2a9999, "web");
	for (unsigned i = 0; i < 20; i++) {
		dns_unpark(&s, ++begun);
		assert_true(answers == 0 && s.asks->ticket == begun + 1 && s.asks->next->ticket == begun + 1);
	}
	s.view.zone = after;
	dns_unpark(&s, ++begun);
	assert_true(answers == 1 && last.rcode == DNS_NOERROR && last.ip == 0x0a2a0001);
	assert_int_equal(rt_loop_run(s.loop, &e), 0);
	assert_true(answers == 2 && last.rcode == DNS_SERVFAIL && s.n_asks == 0 && sources[0].asks == 0);
	rt_loop_close(s.loop);
	dns_zone_free(before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(empty_zone),
		cmocka_unit_test(replies),
		cmocka_unit_test(corpus),
		cmocka_unit_test(who_asks_is_waited_for),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
