/* A question of a container, all of the way that it takes; and the same bytes as a nameserver's answer. */
#include "fuzz.h"

#include "answer.h"

static struct dns_view view = {.domain = "quilt.internal", .subnet = {0x0a2a0000, 16}};

static void set_up(void)
{
	struct dns_host h = {.ip = 0x0a2a0001, .name = "web"};
	struct dns_zone *zone;
	struct qt_err e = {0};

	FUZZ_MUST(dns_zone_new(&zone, &e) == 0);
	h.tenant = qt_id_new("ten");
	FUZZ_MUST(dns_zone_add(zone, &h, &e) == 0);
	dns_zone_seal(zone);
	view.zone = zone;
}

static bool hidden(uint32_t ip, void *arg)
{
	(void)arg;
	return ip >> 24 == 127;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[DNS_UDP_MAX], *exact;
	char text[DNS_TEXT_MAX];
	struct dns_answer a = {0};
	struct dns_query q;
	int code;

	if (!view.zone)
		set_up();
	exact = fuzz_bytes(data, size);
	code = dns_query_read(&q, exact, size);
	FUZZ_MUST(code < 0 || size >= 12);
	if (code >= 0) {
		size_t n;

		a.rcode = code;
		FUZZ_MUST(q.question_len <= sizeof(q.question) && memchr(q.name, '\0', sizeof(q.name)));
		if (code == 0 && dns_decide(&view, 0x0a2a0001, &q, text, &a) == DNS_FORWARD)
			FUZZ_MUST(dns_question_write(&q, 7, out, sizeof(out)) > 12);
		n = dns_answer_write(&q, &a, out, sizeof(out));
		FUZZ_MUST(n >= 12 && n <= sizeof(out));
		(void)dns_reply_check(&q, q.id, exact, size, hidden, NULL);
		if (size >= 12 + q.question_len)
			FUZZ_MUST(dns_cut(exact, &q) <= size);
	}
	free(exact);
	return 0;
}
