/* query.h - questions as they come, and answers as they go. libldns reads and writes; what is read is bounded before. */
#ifndef DNS_QUERY_H
#define DNS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_QUERY_MAX 1024  /* a question that is longer is none that we take */
#define DNS_UDP_MAX   1232  /* an answer by UDP, at most: what no path cuts in pieces */
#define DNS_TEXT_MAX  1024  /* a name as text, with escapes */

enum { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_NOTIMP = 4, DNS_REFUSED = 5 };
enum { DNS_A = 1, DNS_SOA = 6, DNS_PTR = 12, DNS_AAAA = 28, DNS_IXFR = 251, DNS_AXFR = 252, DNS_ANY = 255 };

struct dns_query {
	uint16_t id, type;
	bool rd, cd, edns, dnssec_ok;
	uint16_t udp_size; /* that the asker takes: 512 to DNS_UDP_MAX */
	char name[DNS_TEXT_MAX]; /* in lower case, labels joined by dots, no dot at the end; "" is the root */
	bool plain;	   /* made of letters, digits, '-', '_' and dots between labels only */
	unsigned labels;
	uint8_t question[260]; /* as on the wire, without compression, in the asker's case */
	size_t question_len;
};

/* -1: nothing that could be answered (not even a header, or an answer itself). Else the code that it is to be answered with: DNS_NOERROR for a
 * question of one name of the class IN, which Q then holds whole; of others Q has the header, and the question if there is one. */
int dns_query_read(struct dns_query *q, const uint8_t *wire, size_t len);

/* What is answered: no record, with the zone's authority when ZONE is one; or one record. */
struct dns_answer {
	int rcode;
	const char *zone;  /* whose SOA tells that there is none, or NULL */
	uint32_t ip;	   /* of an A record, host byte order; 0: none */
	const char *ptr;   /* of a PTR record, or NULL */
	uint32_t ttl;
	bool authoritative;
};

/* Into OUT of at most MAX bytes; an answer that is longer is cut to its question, and says so. Its length, or 0: it cannot be composed. */
size_t dns_answer_write(const struct dns_query *q, const struct dns_answer *a, uint8_t *out, size_t max);

/* The question Q under another ID, for a nameserver. Its length, or 0. */
size_t dns_question_write(const struct dns_query *q, uint16_t id, uint8_t *out, size_t max);

/* Is the message an answer to Q that was asked under ID? And may containers see it: it parses, and none of its addresses is HIDDEN (an address of
 * this host's inside, which a name outside has no business with). */
enum dns_verdict { DNS_NOT_OURS, DNS_BAD, DNS_GOOD };
enum dns_verdict dns_reply_check(const struct dns_query *q, uint16_t id, const uint8_t *wire, size_t len,
				 bool (*hidden)(uint32_t ip, void *arg), void *arg);

/* A message under another id. */
void dns_set_id(uint8_t *wire, uint16_t id);

/* Only its header and question, with the sign that there is more: for UDP. The new length. */
size_t dns_cut(uint8_t *wire, const struct dns_query *q);

#endif
