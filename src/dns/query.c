#include <arpa/inet.h>
#include <ctype.h>
#include <ldns/ldns.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "query.h"
#include "str.h"

#define HEADER 12

static void pkt_freep(ldns_pkt **p)
{
	ldns_pkt_free(*p);
}
#define auto_pkt QT_AUTO(pkt_freep)

static unsigned u16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* The labels of an uncompressed name of LEN bytes as text. */
static void name_text(struct dns_query *q, const uint8_t *p, size_t len)
{
	size_t at = 0;

	q->plain = true;
	q->labels = 0;
	for (size_t i = 0; i < len && p[i] != 0; i += 1U + p[i]) {
		if (q->labels++ > 0)
			q->name[at++] = '.';
		for (size_t k = 1; k <= p[i] && i + k < len; k++) {
			unsigned char c = (unsigned char)tolower(p[i + k]);

			q->plain = q->plain && (isalnum(c) || c == '-' || c == '_') && c < 0x80;
			q->name[at++] = (char)c;
		}
	}
	q->name[at] = '\0'; /* 255 bytes of the wire at most */
}

static int read_question(struct dns_query *q, const ldns_pkt *p)
{
	const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(p), 0);
	const ldns_rdf *owner = rr ? ldns_rr_owner(rr) : NULL;
	size_t len = owner ? ldns_rdf_size(owner) : 0;

	if (len == 0 || len > 255)
		return DNS_FORMERR;
	name_text(q, ldns_rdf_data(owner), len);
	q->type = (uint16_t)ldns_rr_get_type(rr);
	memcpy(q->question, ldns_rdf_data(owner), len);
	ldns_write_uint16(q->question + len, q->type);
	ldns_write_uint16(q->question + len + 2, (uint16_t)ldns_rr_get_class(rr));
	q->question_len = len + 4;
	return ldns_rr_get_class(rr) == LDNS_RR_CLASS_IN ? DNS_NOERROR : DNS_REFUSED;
}

static bool is_transfer(unsigned type)
{
	return type == DNS_AXFR || type == DNS_IXFR;
}

int dns_query_read(struct dns_query *q, const uint8_t *wire, size_t len)
{
	auto_pkt ldns_pkt *p = NULL;
	int rcode;

	memset(q, 0, sizeof(*q));
	q->udp_size = 512;
	if (len < HEADER || wire[2] & 0x80) /* an answer: who answers it begins a game without end */
		return -1;
	q->id = (uint16_t)u16(wire);
	q->rd = wire[2] & 0x01;
	q->cd = wire[3] & 0x10;
	if (wire[2] >> 3 & 0x0f)
		return DNS_NOTIMP;
	/* One question, nothing else but EDNS. */
	if (len > DNS_QUERY_MAX || u16(wire + 4) != 1 || u16(wire + 6) != 0 || u16(wire + 8) != 0 || u16(wire + 10) > 1)
		return DNS_FORMERR;
	if (ldns_wire2pkt(&p, wire, len) != LDNS_STATUS_OK) {
		p = NULL;
		return DNS_FORMERR;
	}
	if (u16(wire + 10) == 1 && !ldns_pkt_edns(p))
		return DNS_FORMERR;
	rcode = read_question(q, p);
	if (ldns_pkt_edns(p)) {
		unsigned size = ldns_pkt_edns_udp_size(p);

		q->edns = true;
		q->dnssec_ok = ldns_pkt_edns_do(p);
		q->udp_size = (uint16_t)(size < 512 ? 512 : size > DNS_UDP_MAX ? DNS_UDP_MAX : size);
	}
	return rcode == DNS_NOERROR && is_transfer(q->type) ? DNS_REFUSED : rcode;
}

/* --- writing ------------------------------------------------------------------------------------------- */

/* A message is put together by hand as far as header and question go, since those are ours already; the records are libldns's. */
static size_t begin(const struct dns_query *q, uint16_t id, unsigned flags, uint8_t *out, size_t max)
{
	if (max < HEADER + q->question_len)
		return 0;
	memset(out, 0, HEADER);
	ldns_write_uint16(out, id);
	ldns_write_uint16(out + 2, (uint16_t)flags);
	ldns_write_uint16(out + 4, q->question_len > 0);
	memcpy(out + HEADER, q->question, q->question_len);
	return HEADER + q->question_len;
}

static size_t add_edns(const struct dns_query *q, uint8_t *out, size_t at, size_t max)
{
	uint8_t opt[11] = {0, 0, LDNS_RR_TYPE_OPT, DNS_UDP_MAX >> 8, DNS_UDP_MAX & 0xff, 0, 0, q->dnssec_ok ? 0x80 : 0, 0, 0, 0};

	if (!q->edns)
		return at;
	if (at == 0 || max - at < sizeof(opt))
		return 0;
	memcpy(out + at, opt, sizeof(opt));
	ldns_write_uint16(out + 10, 1);
	return at + sizeof(opt);
}

/* RR, released here, in its section, whose count is at byte COUNT. */
static size_t add_record(ldns_rr *rr, unsigned count, uint8_t *out, size_t at, size_t max)
{
	uint8_t *wire = NULL;
	size_t len = 0;

	if (rr && at > 0 && ldns_rr2wire(&wire, rr, LDNS_SECTION_ANSWER, &len) == LDNS_STATUS_OK && len <= max - at) {
		memcpy(out + at, wire, len);
		ldns_write_uint16(out + count, (uint16_t)(u16(out + count) + 1));
		at += len;
	} else {
		at = 0;
	}
	free(wire);
	ldns_rr_free(rr);
	return at;
}

static ldns_rr *record(ldns_rdf *owner, ldns_rr_type type, uint32_t ttl)
{
	ldns_rr *rr = owner ? ldns_rr_new() : NULL;

	if (!rr) {
		ldns_rdf_deep_free(owner);
		return NULL;
	}
	ldns_rr_set_owner(rr, owner);
	ldns_rr_set_type(rr, type);
	ldns_rr_set_class(rr, LDNS_RR_CLASS_IN);
	ldns_rr_set_ttl(rr, ttl);
	return rr;
}

/* With RDF, which is released when it cannot be. */
static ldns_rr *with(ldns_rr *rr, ldns_rdf *rdf)
{
	if (rr && rdf && ldns_rr_push_rdf(rr, rdf))
		return rr;
	ldns_rdf_deep_free(rdf);
	ldns_rr_free(rr);
	return NULL;
}

static ldns_rdf *asked_name(const struct dns_query *q)
{
	return ldns_dname_new_frm_data((uint16_t)(q->question_len - 4), q->question);
}

static ldns_rdf *number(uint32_t n)
{
	return ldns_native2rdf_int32(LDNS_RDF_TYPE_INT32, n);
}

static ldns_rr *soa(const char *zone, uint32_t ttl)
{
	const uint32_t times[] = {1, 3600, 600, 86400, ttl}; /* serial, refresh, retry, expire, how long "none" holds */
	ldns_rr *rr = record(ldns_dname_new_frm_str(zone), LDNS_RR_TYPE_SOA, ttl);

	rr = with(rr, ldns_dname_new_frm_str(zone));
	rr = with(rr, ldns_dname_new_frm_str("hostmaster.invalid"));
	for (size_t i = 0; i < QT_LEN(times); i++)
		rr = with(rr, number(times[i]));
	return rr;
}

static ldns_rr *answer_record(const struct dns_query *q, const struct dns_answer *a)
{
	const uint32_t ip = htonl(a->ip);

	if (a->ptr)
		return with(record(asked_name(q), LDNS_RR_TYPE_PTR, a->ttl), ldns_dname_new_frm_str(a->ptr));
	return with(record(asked_name(q), LDNS_RR_TYPE_A, a->ttl), ldns_rdf_new_frm_data(LDNS_RDF_TYPE_A, sizeof(ip), &ip));
}

size_t dns_answer_write(const struct dns_query *q, const struct dns_answer *a, uint8_t *out, size_t max)
{
	unsigned flags = 0x8080U | (a->authoritative ? 0x0400U : 0U) | (q->rd ? 0x0100U : 0U) | (q->cd ? 0x0010U : 0U) | (unsigned)a->rcode;
	size_t at = begin(q, q->id, flags, out, max);

	if (at > 0 && (a->ip || a->ptr))
		at = add_record(answer_record(q, a), 6, out, at, max);
	else if (at > 0 && a->zone)
		at = add_record(soa(a->zone, a->ttl), 8, out, at, max);
	at = add_edns(q, out, at, max);
	if (at > 0)
		return at;
	return begin(q, q->id, flags | 0x0200U, out, max);
}

size_t dns_question_write(const struct dns_query *q, uint16_t id, uint8_t *out, size_t max)
{
	return add_edns(q, out, begin(q, id, 0x0100U | (q->cd ? 0x0010U : 0U), out, max), max);
}

/* --- what nameservers say ------------------------------------------------------------------------------ */

static bool shows_hidden(const ldns_rr_list *rrs, bool (*hidden)(uint32_t ip, void *arg), void *arg)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(rrs); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(rrs, i);
		const ldns_rdf *rd = ldns_rr_rd_count(rr) > 0 ? ldns_rr_rdf(rr, 0) : NULL;
		const uint8_t *p = rd ? ldns_rdf_data(rd) : NULL;

		if (!rd || ldns_rr_get_type(rr) != LDNS_RR_TYPE_A || ldns_rdf_size(rd) != 4)
			continue;
		if (hidden((uint32_t)u16(p) << 16 | u16(p + 2), arg))
			return true;
	}
	return false;
}

enum dns_verdict dns_reply_check(const struct dns_query *q, uint16_t id, const uint8_t *wire, size_t len,
				 bool (*hidden)(uint32_t ip, void *arg), void *arg)
{
	auto_pkt ldns_pkt *p = NULL;

	if (len < HEADER + q->question_len || u16(wire) != id || !(wire[2] & 0x80) || u16(wire + 4) != 1)
		return DNS_NOT_OURS;
	/* Nameservers leave the case alone, or should; the bytes of the type have none. */
	for (size_t i = 0; i < q->question_len; i++)
		if (tolower(wire[HEADER + i]) != tolower(q->question[i]))
			return DNS_NOT_OURS;
	if (ldns_wire2pkt(&p, wire, len) != LDNS_STATUS_OK) {
		p = NULL;
		return wire[2] & 0x02 ? DNS_GOOD : DNS_BAD; /* one that was cut may be cut anywhere: only its head is passed on */
	}
	return shows_hidden(ldns_pkt_answer(p), hidden, arg) ? DNS_BAD : DNS_GOOD;
}

void dns_set_id(uint8_t *wire, uint16_t id)
{
	ldns_write_uint16(wire, id);
}

size_t dns_cut(uint8_t *wire, const struct dns_query *q)
{
	wire[2] |= 0x02;
	memset(wire + 6, 0, 6);
	memcpy(wire + HEADER, q->question, q->question_len);
	return HEADER + q->question_len;
}
