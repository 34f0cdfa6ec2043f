/* netrules.h - the packet filter as one table of rules, and its translation to nf_tables. What a reviewer reads first. */
#ifndef RT_NETRULES_H
#define RT_NETRULES_H

#include <stdbool.h>
#include <stdint.h>

#include "net.h"
#include "netaddr.h"
#include "netdns.h"
#include "nft.h"

#define RT_TALK_MAX  2000 /* packets a second that one container may send to the gateway */
#define RT_CONNS_MAX 4096 /* tracked connections that one container may have open at once */

#define RT_NOTE_SIZE 64

/* Names of sets; all in the one table. */
#define RT_SET_SRC    "src"    /* link . address: who may send what */
#define RT_SET_TENANT "tenant" /* address -> number of its tenant */
#define RT_SET_MEMBER "member" /* number . address: who belongs to whom */
#define RT_SET_CONNS  "conns"  /* made by packets: connections by source address */
#define RT_SET_PRIV   "priv"
#define RT_SET_DNS    "dns"
#define RT_SET_TALK   "talk"   /* made by packets: how much each talks to the gateway */

struct rt_rules {
	char table[16];	  /* its name; family inet */
	char prefix[8];	  /* of container links */
	struct rt_cidr pool;
	uint32_t gateway;
	char uplink[16];  /* "": no egress */
	uint32_t dns[RT_DNS_MAX];
	unsigned n_dns;
	bool not_a_router; /* the uplink forwards for our sake only: nobody else may use that */
	bool resolver;	   /* one listens at the gateway's address */
	bool no_count;	   /* the kernel has no connection limit: leave that rule out */
	char note[RT_NOTE_SIZE]; /* the table's comment */
};

/* Put into the transaction: away with the table, if there is one; the table anew, with empty sets of containers. */
void rt_rules_put(struct rt_nft *n, const struct rt_rules *r);

/* Put into the transaction: away with the table, if there is one. */
void rt_rules_put_removal(struct rt_nft *n, const struct rt_rules *r);

/* What a container is to the filter: its three elements, put into the transaction (or taken out of the sets). */
struct rt_element {
	struct rt_addr addr;
	uint32_t tenant;
};
void rt_rules_put_elements(struct rt_nft *n, const struct rt_rules *r, bool add, const struct rt_element *els, uint32_t count);

/* Has the kernel all of EL? 1, 0, or -1. */
int rt_rules_know(struct rt_nft *n, const struct rt_rules *r, const struct rt_element *el, struct qt_err *e);

/* A fingerprint of the table as the kernel has it (netcheck.c): what is the same for all containers, and their elements; and of the elements
 * as they should be. -1: it could not be read, or was changed meanwhile. */
struct rt_print {
	uint64_t fixed, moving;
};
int rt_rules_print(struct rt_nft *n, const struct rt_rules *r, struct rt_print *ret, struct qt_err *e);
uint64_t rt_rules_print_of(const struct rt_element *els, uint32_t count);

/* The comment of the table there is now, "" if there is no table or comment. OUT has RT_NOTE_SIZE bytes. */
int rt_rules_note(struct rt_nft *n, const char *table, char *out, struct qt_err *e);

/* The literals that rt_nft_commit() may give back for what the connection limit needs. */
bool rt_rules_is_count(const char *what);

#endif
